// SPDX-License-Identifier: Apache-2.0

package kubevirt

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// A function is a PCI function of the fake host, on vfio-pci.
type function struct {
	address string
	group   int
	id      string // "vendor:device"
	class   string // six digits
}

// A fakeSysfs is a tree of the files that the daemon reads, in the shape of tests/fakes/sysfs_tree.cc.
type fakeSysfs struct {
	t     *testing.T
	root  string
	nodes string // what is /dev/vfio
}

// add puts functions into the tree, and gives their groups the knob of a patched kernel.
func (s fakeSysfs) add(functions ...function) {
	s.t.Helper()
	for _, f := range functions {
		vendor, device, _ := strings.Cut(f.id, ":")
		directory := fmt.Sprintf("devices/pci%s/%s", f.address[:strings.LastIndex(f.address, ":")], f.address)
		for name, content := range map[string]string{
			"class": "0x" + f.class, "vendor": "0x" + vendor, "device": "0x" + device,
			"subsystem_vendor": "0x0000", "subsystem_device": "0x0000", "numa_node": "-1",
			"uevent": strings.ToUpper(fmt.Sprintf("PCI_CLASS=%s\nPCI_ID=%s\nPCI_SUBSYS_ID=0000:0000\n",
				strings.TrimLeft(f.class, "0"), f.id)) + "DRIVER=vfio-pci\nPCI_SLOT_NAME=" + f.address,
		} {
			s.write(directory+"/"+name, content)
		}
		s.link(directory+"/subsystem", "bus/pci")
		check(s.t, os.MkdirAll(filepath.Join(s.root, "bus/pci/drivers/vfio-pci"), 0o755))
		s.link(directory+"/driver", "bus/pci/drivers/vfio-pci")
		s.link("bus/pci/devices/"+f.address, directory)
		group := groupFolder(f.group)
		s.write(group+"/reserved_regions", "0x0000000008000000 0x00000000080fffff msi")
		s.write(group+"/type", "DMA")
		s.write(group+"/msi_window", "0x08000000 0x00100000")
		s.link(group+"/devices/"+f.address, directory)
		s.link(directory+"/iommu_group", group)
		check(s.t, os.WriteFile(filepath.Join(s.nodes, strconv.Itoa(f.group)), nil, 0o644))
	}
}

// windowOf says which window the daemon has written to a group.
func (s fakeSysfs) windowOf(group int) string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.root, groupFolder(group), "msi_window"))
	check(s.t, err)
	return strings.TrimSpace(string(text))
}

func groupFolder(group int) string { return fmt.Sprintf("kernel/iommu_groups/%d", group) }

func (s fakeSysfs) write(path, content string) {
	s.t.Helper()
	absolute := filepath.Join(s.root, path)
	check(s.t, os.MkdirAll(filepath.Dir(absolute), 0o755))
	check(s.t, os.WriteFile(absolute, []byte(content+"\n"), 0o644))
}

func (s fakeSysfs) link(path, target string) {
	s.t.Helper()
	absolute := filepath.Join(s.root, path)
	check(s.t, os.MkdirAll(filepath.Dir(absolute), 0o755))
	relative, err := filepath.Rel(filepath.Dir(absolute), filepath.Join(s.root, target))
	check(s.t, err)
	check(s.t, os.Symlink(relative, absolute))
}
