// SPDX-License-Identifier: Apache-2.0

// Command domain prints the domain that KubeVirt makes of a VirtualMachineInstance on arm64, in an environment with PCI_RESOURCE_*:
// that of virt-launcher's container.
//
//	domain vmi.yaml > domain.xml
package main

import (
	"encoding/xml"
	"fmt"
	"os"

	v1 "kubevirt.io/api/core/v1"
	"kubevirt.io/kubevirt/pkg/defaults"
	"kubevirt.io/kubevirt/pkg/ephemeral-disk/fake"
	"kubevirt.io/kubevirt/pkg/os/disk"
	"kubevirt.io/kubevirt/pkg/testutils"
	"kubevirt.io/kubevirt/pkg/virt-launcher/virtwrap/api"
	"kubevirt.io/kubevirt/pkg/virt-launcher/virtwrap/converter"
	"kubevirt.io/kubevirt/pkg/virt-launcher/virtwrap/converter/arch"
	"kubevirt.io/kubevirt/pkg/virt-launcher/virtwrap/converter/types"
	"kubevirt.io/kubevirt/pkg/virt-launcher/virtwrap/device/hostdevice/generic"
	"sigs.k8s.io/yaml"
)

const arm64 = "arm64"

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: domain VMI.YAML")
		os.Exit(2)
	}
	text, err := domainOf(os.Args[1])
	if err != nil {
		fmt.Fprintf(os.Stderr, "domain: %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
	fmt.Println(string(text))
}

// domainOf is the XML of the domain of the VirtualMachineInstance in a YAML file.
func domainOf(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	vmi := &v1.VirtualMachineInstance{}
	if err := yaml.UnmarshalStrict(text, vmi); err != nil {
		return nil, err
	}
	cluster, _, _ := testutils.NewFakeClusterConfigUsingKVWithCPUArch(&v1.KubeVirt{}, arm64)
	if err := defaults.SetDefaultVirtualMachineInstance(cluster, vmi); err != nil {
		return nil, err
	}
	defaults.SetArm64Defaults(&vmi.Spec)
	devices, err := generic.CreateHostDevices(vmi.Spec.Domain.Devices.HostDevices)
	if err != nil {
		return nil, err
	}
	domain := &api.Domain{}
	if err := converter.Convert_v1_VirtualMachineInstance_To_api_Domain(vmi, domain, &types.ConverterContext{
		Architecture:              arch.NewConverter(arm64),
		HypervisorDeviceAvailable: true,
		VirtualMachine:            vmi,
		GenericHostDevices:        devices,
		// Where Debian's package has it.
		EFIConfiguration:     &types.EFIConfiguration{EFICode: "/usr/share/AAVMF/AAVMF_CODE.fd", EFIVars: "/usr/share/AAVMF/AAVMF_VARS.fd"},
		EphemeraldiskCreator: &fake.MockEphemeralDiskImageCreator{BaseDir: "/var/run/libvirt/kubevirt-ephemeral-disk"},
		DisksInfo:            map[string]*disk.DiskInfo{},
		SerialConsoleLog:     true,
	}); err != nil {
		return nil, err
	}
	api.NewDefaulter(arm64).SetObjectDefaults_Domain(domain)
	return xml.MarshalIndent(domain.Spec, "", "  ")
}
