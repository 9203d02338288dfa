// SPDX-License-Identifier: Apache-2.0

package kubevirt

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
	v1 "kubevirt.io/api/core/v1"
	"kubevirt.io/kubevirt/pkg/defaults"
	"kubevirt.io/kubevirt/pkg/ephemeral-disk/fake"
	"kubevirt.io/kubevirt/pkg/os/disk"
	"kubevirt.io/kubevirt/pkg/testutils"
	"kubevirt.io/kubevirt/pkg/virt-api/webhooks/validating-webhook/admitters"
	virtconfig "kubevirt.io/kubevirt/pkg/virt-config"
	"kubevirt.io/kubevirt/pkg/virt-controller/services"
	"kubevirt.io/kubevirt/pkg/virt-launcher/virtwrap/api"
	"kubevirt.io/kubevirt/pkg/virt-launcher/virtwrap/converter"
	"kubevirt.io/kubevirt/pkg/virt-launcher/virtwrap/converter/arch"
	convertertypes "kubevirt.io/kubevirt/pkg/virt-launcher/virtwrap/converter/types"
	"kubevirt.io/kubevirt/pkg/virt-launcher/virtwrap/device/hostdevice/generic"
	"sigs.k8s.io/yaml"
)

const (
	examplesFolder = "../../manifests/examples"
	arm64          = "arm64"
	// Where QEMU's `virt` puts the memory of a guest (hw/arm/virt.c).
	ramBase = 0x40000000
)

// What each example is to become.
var examples = map[string]struct {
	devices []string // of the VM, as KubeVirt names them for libvirt
	memory  uint64   // of the guest, in bytes
	nodes   []string // groups that the container may open
}{
	"vm-one-device.yaml": {[]string{"disk 0x0000:0x01:0x00.0x0"}, 2 << 30, []string{"/dev/vfio/7"}},
	"vm-two-resources.yaml": {
		[]string{"disk 0x0000:0x01:0x00.0x0", "network 0x0001:0x81:0x1f.0x7"}, 4 << 30, []string{"/dev/vfio/7", "/dev/vfio/31"}},
	"vm-two-function-group.yaml": {[]string{"graphics 0x0000:0x03:0x00.0x0"}, 8 << 30, []string{"/dev/vfio/12"}},
	"vm-hugepages.yaml":          {[]string{"disk 0x0000:0x01:0x00.0x0"}, 4 << 30, []string{"/dev/vfio/7"}},
}

func TestEveryExampleIsTested(t *testing.T) {
	for _, name := range manifestNames(t) {
		if _, is := examples[name]; !is && name != "kubevirt-patch.yaml" {
			t.Errorf("nothing is expected of %s", name)
		}
	}
	equal(t, "the examples", len(manifestNames(t)), len(examples)+1)
}

func TestExamplesAreAdmitted(t *testing.T) {
	for name := range examples {
		t.Run(name, func(t *testing.T) {
			for _, objection := range admission(t, exampleCluster(t), exampleVM(t, name)) {
				t.Error(objection)
			}
		})
	}
}

func TestExamplesAreNotAdmittedWithoutThePatch(t *testing.T) {
	unpatched, _, _ := testutils.NewFakeClusterConfigUsingKVWithCPUArch(&v1.KubeVirt{}, arm64)
	for name := range examples {
		found := strings.Join(admission(t, unpatched, exampleVM(t, name)), "\n")
		if !strings.Contains(found, "Host Devices feature gate is not enabled") {
			t.Errorf("%s: got %q", name, found)
		}
	}
}

func TestThePatchPermitsWhatTheExamplesAskFor(t *testing.T) {
	permitted := map[string]bool{}
	for _, device := range exampleCluster(t).GetPermittedHostDevices().PciHostDevices {
		permitted[device.ResourceName] = device.ExternalResourceProvider
	}
	for name := range examples {
		for _, device := range exampleVM(t, name).Spec.Template.Spec.Domain.Devices.HostDevices {
			if !permitted[device.DeviceName] {
				t.Errorf("%s: %s is not permitted, or KubeVirt would start a plugin for it", name, device.DeviceName)
			}
		}
	}
}

// From the manifest to libvirt's XML: KubeVirt says how much of each resource the pod asks for, the daemon answers, and KubeVirt makes
// a domain of the manifest and the answer.
func TestExamplesBecomeDomains(t *testing.T) {
	for name, wanted := range examples {
		t.Run(name, func(t *testing.T) {
			w := exampleWorld(t, disk0, disk1, network0, graphics, sound)
			vmi := exampleVMI(t, exampleCluster(t), exampleVM(t, name))
			made := w.kubelet.startPod("virt-launcher-example", requestsOf(vmi))
			made.enter(t)
			domain := domainOf(t, vmi)

			equal(t, "devices of the domain", describe(domain.Devices.HostDevices), wanted.devices)
			for _, device := range domain.Devices.HostDevices {
				equal(t, "type of the device", device.Type, api.HostDevicePCI)
				// libvirt binds no driver then: it is the daemon's or the administrator's business.
				equal(t, "managed", device.Managed, "no")
			}
			equal(t, "memory of the domain", memoryOf(t, domain), wanted.memory)
			equal(t, "device nodes", len(made.devices), len(wanted.nodes)+1)
			for _, node := range wanted.nodes {
				if made.devices[node] == nil {
					t.Errorf("the container has no %s", node)
				}
			}
			for resource := range requestsOf(vmi) {
				told := readSettings(t, made, resource)
				equal(t, "mode", told.Mode, "enforce")
				if base, end := told.Window.numbers(t); base < ramBase+wanted.memory && end > ramBase {
					t.Errorf("the window %v meets the memory of the guest", told.Window)
				}
			}
		})
	}
}

func TestHugepagesAreOnlyInTheirExample(t *testing.T) {
	for name := range examples {
		vmi := exampleVMI(t, exampleCluster(t), exampleVM(t, name))
		vmi.Spec.Domain.Devices.HostDevices = nil
		backing := domainOf(t, vmi).MemoryBacking
		equal(t, name, backing != nil && backing.HugePages != nil, name == "vm-hugepages.yaml")
	}
}

// manifestNames lists the examples that are for Kubernetes.
func manifestNames(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob(examplesFolder + "/*.yaml")
	check(t, err)
	var names []string
	for _, path := range paths {
		// Is for the daemon.
		if name := filepath.Base(path); name != "config.yaml" {
			names = append(names, name)
		}
	}
	return names
}

func readExample(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(examplesFolder, name))
	check(t, err)
	return string(text)
}

func exampleVM(t *testing.T, name string) *v1.VirtualMachine {
	t.Helper()
	vm := &v1.VirtualMachine{}
	check(t, yaml.UnmarshalStrict([]byte(readExample(t, name)), vm))
	return vm
}

// exampleCluster is KubeVirt's view of a cluster of arm64 nodes with the example's patch.
func exampleCluster(t *testing.T) *virtconfig.ClusterConfig {
	t.Helper()
	patched := &v1.KubeVirt{}
	check(t, yaml.UnmarshalStrict([]byte(readExample(t, "kubevirt-patch.yaml")), patched))
	patched.Status.DefaultArchitecture = arm64
	cluster, _, _ := testutils.NewFakeClusterConfigUsingKVWithCPUArch(patched, arm64)
	return cluster
}

// exampleVMI is what KubeVirt's defaults make of a VM.
func exampleVMI(t *testing.T, cluster *virtconfig.ClusterConfig, vm *v1.VirtualMachine) *v1.VirtualMachineInstance {
	t.Helper()
	vmi := v1.NewVMIReferenceFromNameWithNS("default", vm.Name)
	vmi.Spec = *vm.Spec.Template.Spec.DeepCopy()
	check(t, defaults.SetDefaultVirtualMachineInstance(cluster, vmi))
	defaults.SetArm64Defaults(&vmi.Spec)
	return vmi
}

// admission is what KubeVirt's admission says of a VM and of its VMI.
func admission(t *testing.T, cluster *virtconfig.ClusterConfig, vm *v1.VirtualMachine) []string {
	t.Helper()
	vmi := exampleVMI(t, cluster, vm)
	causes := admitters.ValidateVirtualMachineSpec(field.NewPath("spec"), &vm.Spec, cluster, false)
	causes = append(causes, admitters.ValidateVirtualMachineInstanceSpec(field.NewPath("spec"), &vmi.Spec, cluster)...)
	causes = append(causes, admitters.ValidateVirtualMachineInstancePerArch(field.NewPath("spec"), &vmi.Spec)...)
	var texts []string
	for _, cause := range causes {
		texts = append(texts, cause.Field+": "+cause.Message)
	}
	return texts
}

// requestsOf is what KubeVirt writes into the limits of the container for the devices of a VM.
func requestsOf(vmi *v1.VirtualMachineInstance) map[string]int {
	limits := services.NewResourceRenderer(nil, nil,
		services.WithHostDevicesDevicePlugins(vmi.Spec.Domain.Devices.HostDevices)).Limits()
	requests := map[string]int{}
	for name, quantity := range limits {
		requests[string(name)] = int(quantity.Value())
	}
	return requests
}

// domainOf lets KubeVirt make the domain, in the environment of the test, and reads its XML again.
func domainOf(t *testing.T, vmi *v1.VirtualMachineInstance) *api.DomainSpec {
	t.Helper()
	devices, err := generic.CreateHostDevices(vmi.Spec.Domain.Devices.HostDevices)
	check(t, err)
	domain := &api.Domain{}
	check(t, converter.Convert_v1_VirtualMachineInstance_To_api_Domain(vmi, domain, &convertertypes.ConverterContext{
		Architecture:              arch.NewConverter(arm64),
		HypervisorDeviceAvailable: true,
		VirtualMachine:            vmi,
		GenericHostDevices:        devices,
		EFIConfiguration:          &convertertypes.EFIConfiguration{},
		EphemeraldiskCreator:      &fake.MockEphemeralDiskImageCreator{BaseDir: "/var/run/libvirt/kubevirt-ephemeral-disk"},
		DisksInfo:                 map[string]*disk.DiskInfo{"root": {Format: "qcow2"}},
		DomainAttachmentByInterfaceName: map[string]string{
			"default": "tap",
		},
	}))
	api.NewDefaulter(arm64).SetObjectDefaults_Domain(domain)
	text, err := xml.Marshal(domain.Spec)
	check(t, err)
	read := &api.DomainSpec{}
	check(t, xml.Unmarshal(text, read))
	equal(t, "architecture", read.OS.Type.Arch, "aarch64")
	equal(t, "machine", read.OS.Type.Machine, "virt")
	return read
}

func memoryOf(t *testing.T, domain *api.DomainSpec) uint64 {
	t.Helper()
	equal(t, "unit of the memory", domain.Memory.Unit, "b")
	return domain.Memory.Value
}
