// SPDX-License-Identifier: Apache-2.0

package kubevirt

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	deviceplugin "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
	v1 "kubevirt.io/api/core/v1"
	"kubevirt.io/kubevirt/pkg/util"
	"kubevirt.io/kubevirt/pkg/virt-launcher/virtwrap/api"
	"kubevirt.io/kubevirt/pkg/virt-launcher/virtwrap/device/hostdevice/generic"
)

const (
	nvme = "vendor.example/nvme"
	nic  = "vendor.example/nic"
	gpu  = "vendor.example/gpu"
)

var (
	disk0    = function{address: "0000:01:00.0", group: 7, id: "1b36:0010", class: "010802"}
	disk1    = function{address: "0000:02:00.0", group: 8, id: "1b36:0010", class: "010802"}
	network0 = function{address: "0001:81:1f.7", group: 31, id: "15b3:101e", class: "020000"}
	graphics = function{address: "0000:03:00.0", group: 12, id: "1002:744c", class: "030000"}
	sound    = function{address: "0000:03:00.1", group: 12, id: "1002:ab30", class: "040300"}
)

func TestVariableHasTheNameThatKubeVirtLooksFor(t *testing.T) {
	for _, name := range []string{nvme, "a.b.c.example/d.e_f", "vendor.example/Mixed_Case.1"} {
		t.Run(strings.ReplaceAll(name, "/", " "), func(t *testing.T) {
			w := newWorld(t)
			w.sysfs.add(disk0)
			w.start(fmt.Sprintf("version: v1\nresources:\n  - {name: %s, selectors: [{vendor: \"1b36\"}]}\n", name))
			made := w.kubelet.startPod("vm", map[string]int{name: 1})
			equal(t, "the variable", made.environment[util.ResourceNameToEnvVar(v1.PCIResourcePrefix, name)], disk0.address)
			// KubeVirt would take these for a mediated or a USB device.
			for _, prefix := range []string{v1.MDevResourcePrefix, v1.USBResourcePrefix} {
				if _, is := made.environment[util.ResourceNameToEnvVar(prefix, name)]; is {
					t.Errorf("%s is set, too", util.ResourceNameToEnvVar(prefix, name))
				}
			}
		})
	}
}

func TestOneDevice(t *testing.T) {
	w := exampleWorld(t, disk0)
	made := w.kubelet.startPod("vm", map[string]int{nvme: 1})
	equal(t, "the devices", createHostDevices(t, made, entry("disk", nvme)), []string{"disk 0x0000:0x01:0x00.0x0"})
	equal(t, "device nodes", slices.Sorted(maps.Keys(made.devices)), []string{"/dev/vfio/7", "/dev/vfio/vfio"})
}

func TestDevicesOfTwoResourcesGoToTheirEntries(t *testing.T) {
	w := exampleWorld(t, disk0, network0)
	made := w.kubelet.startPod("vm", map[string]int{nvme: 1, nic: 1})
	disk, network := "disk 0x0000:0x01:0x00.0x0", "network 0x0001:0x81:0x1f.0x7"
	equal(t, "the devices", createHostDevices(t, made, entry("disk", nvme), entry("network", nic)), []string{disk, network})
	equal(t, "the other way round", createHostDevices(t, made, entry("network", nic), entry("disk", nvme)),
		[]string{network, disk})
}

func TestTwoEntriesOfOneResourceGetAGroupEach(t *testing.T) {
	w := exampleWorld(t, disk0, disk1)
	made := w.kubelet.startPod("vm", map[string]int{nvme: 2})
	devices := createHostDevices(t, made, entry("a", nvme), entry("b", nvme))
	slices.Sort(devices)
	equal(t, "the devices", len(devices), 2)
	addresses := []string{strings.Fields(devices[0])[1], strings.Fields(devices[1])[1]}
	slices.Sort(addresses)
	equal(t, "their addresses", addresses, []string{"0x0000:0x01:0x00.0x0", "0x0000:0x02:0x00.0x0"})
}

// KubeVirt asks for one unit of a resource for each entry, and a unit is a group: so the answer has one function of the group, and
// the rest of it is out of reach of everybody else.
func TestGroupOfTwoFunctionsIsOneEntry(t *testing.T) {
	w := exampleWorld(t, graphics, sound)
	made := w.kubelet.startPod("vm", map[string]int{gpu: 1})
	equal(t, "the devices", createHostDevices(t, made, entry("graphics", gpu)), []string{"graphics 0x0000:0x03:0x00.0x0"})
	equal(t, "device nodes", slices.Sorted(maps.Keys(made.devices)), []string{"/dev/vfio/12", "/dev/vfio/vfio"})
	told := readSettings(t, made, gpu)
	equal(t, "functions of the group", told.Groups[0].Functions, []string{graphics.address, sound.address})
}

// The runtime makes the device nodes then, and virt-launcher looks for the same variable.
func TestDeviceByCDIIsFoundTheSameWay(t *testing.T) {
	w := newWorld(t)
	w.sysfs.add(disk0)
	w.start(fmt.Sprintf("version: v1\nresources:\n  - {name: %s, cdi: true, selectors: [{vendor: \"1b36\"}]}\n", nvme))
	made := w.kubelet.startPod("vm", map[string]int{nvme: 1})
	equal(t, "the devices", createHostDevices(t, made, entry("disk", nvme)), []string{"disk 0x0000:0x01:0x00.0x0"})
	equal(t, "device nodes", len(made.devices), 0)
	equal(t, "CDI device", made.answers[nvme].CdiDevices[0].Name, nvme+"="+disk0.address)
}

func TestKubeVirtRefusesAVMWithMoreEntriesThanDevices(t *testing.T) {
	w := exampleWorld(t, disk0)
	made := w.kubelet.startPod("vm", map[string]int{nvme: 1})
	made.enter(t)
	_, err := generic.CreateHostDevices([]v1.HostDevice{entry("a", nvme), entry("b", nvme)})
	if err == nil || !strings.Contains(err.Error(), "do not match the number of devices") {
		t.Errorf("got %v", err)
	}
}

func TestAnswersMeetNobodyElses(t *testing.T) {
	w := exampleWorld(t, disk0, network0)
	made := w.kubelet.startPod("vm", map[string]int{nvme: 1, nic: 1})
	for path, device := range made.devices {
		// KubeVirt hands these out by plugins of its own.
		if !strings.HasPrefix(path, "/dev/vfio/") || device.HostPath != path {
			t.Errorf("device node %v", device)
		}
	}
	for path, mount := range made.mounts {
		if filepath.Dir(path) != "/run/vfio-doorbell" || !mount.ReadOnly {
			t.Errorf("mount %v", mount)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(made.answers[nvme].Envs)) {
		if _, is := made.answers[nic].Envs[name]; is {
			t.Errorf("%s comes with both resources", name)
		}
	}
}

func TestDevicesOfAPodHaveOneWindowAndThoseOfAnotherPodAnother(t *testing.T) {
	w := exampleWorld(t, disk0, disk1, network0)
	one := w.kubelet.startPod("one", map[string]int{nvme: 1, nic: 1})
	other := w.kubelet.startPod("other", map[string]int{nvme: 1})
	equal(t, "window of the second resource", readSettings(t, one, nic).Window, readSettings(t, one, nvme).Window)
	equal(t, "window in the kernel", w.sysfs.windowOf(network0.group), readSettings(t, one, nvme).Window.String())
	if readSettings(t, other, nvme).Window == readSettings(t, one, nvme).Window {
		t.Errorf("both pods have %v", readSettings(t, one, nvme).Window)
	}
}

// exampleWorld runs the daemon with the configuration of the examples.
func exampleWorld(t *testing.T, functions ...function) *world {
	t.Helper()
	w := newWorld(t)
	w.sysfs.add(functions...)
	w.start(readExample(t, "config.yaml"))
	return w
}

func entry(name, resource string) v1.HostDevice {
	return v1.HostDevice{Name: name, DeviceName: resource}
}

// createHostDevices lets KubeVirt make host devices of the entries of a VM in a container; each as its name and its address.
func createHostDevices(t *testing.T, made *container, entries ...v1.HostDevice) []string {
	t.Helper()
	made.enter(t)
	devices, err := generic.CreateHostDevices(entries)
	check(t, err)
	return describe(devices)
}

func describe(devices []api.HostDevice) []string {
	var texts []string
	for _, device := range devices {
		address := device.Source.Address
		texts = append(texts, fmt.Sprintf("%s %s:%s:%s.%s", strings.TrimPrefix(device.Alias.GetName(), generic.AliasPrefix),
			address.Domain, address.Bus, address.Slot, address.Function))
	}
	return texts
}

// A settings is what the tests need of settings.json.
type settings struct {
	Mode   string
	Window window
	Groups []struct {
		Functions []string
	}
}

type window struct{ Base, Size string }

func (w window) String() string { return w.Base + " " + w.Size }

func (w window) numbers(t *testing.T) (base, end uint64) {
	t.Helper()
	base, err := strconv.ParseUint(w.Base, 0, 64)
	check(t, err)
	size, err := strconv.ParseUint(w.Size, 0, 64)
	check(t, err)
	return base, base + size
}

// readSettings reads them as the container would: by the variable, through the mount.
func readSettings(t *testing.T, made *container, resource string) settings {
	t.Helper()
	path := made.environment[util.ResourceNameToEnvVar("VFIO_DOORBELL_SETTINGS", resource)]
	var mount *deviceplugin.Mount
	if mount = made.mounts[filepath.Dir(path)]; mount == nil {
		t.Fatalf("%q is in no mount", path)
	}
	text, err := os.ReadFile(filepath.Join(mount.HostPath, filepath.Base(path)))
	check(t, err)
	var read settings
	check(t, json.Unmarshal(text, &read))
	return read
}
