// SPDX-License-Identifier: Apache-2.0

package kubevirt

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "kubevirt.io/api/core/v1"
	plugin "kubevirt.io/api/plugin/v1alpha1"
	"kubevirt.io/kubevirt/pkg/hooks"
	"kubevirt.io/kubevirt/pkg/virt-launcher/virtwrap/api"
	domainhooks "kubevirt.io/kubevirt/pkg/virt-launcher/virtwrap/plugins"
	"sigs.k8s.io/yaml"
)

const (
	// Where the checker to be tested is.
	checkerVariable = "VFIO_DOORBELL_CHECKER"
	checkerManifest = "../../manifests/checker-sidecar.yaml"
	// A window over the memory of every VM.
	inMemory = "0x40000000 0x00100000"
)

func TestCheckerManifestFitsKubeVirtsSchemas(t *testing.T) {
	for _, manifest := range checkerObjects(t) {
		for _, objection := range objections(t, manifest) {
			t.Error(objection)
		}
	}
}

func TestLegacyCheckerGivesTheDomainBackByteForByte(t *testing.T) {
	w, vmi, domain := worldWithDomain(t)
	launcher := collectChecker(t, w)
	sent, err := xml.MarshalIndent(domain, "", "\t")
	check(t, err)
	for range 3 { // as often as KubeVirt asks for one start
		got, err := launcher.OnDefineDomain(domain, vmi)
		check(t, err)
		if got != string(sent) {
			t.Errorf("got\n%s\nfor\n%s", got, sent)
		}
	}
}

func TestLegacyCheckerRefusesAWindowInMemory(t *testing.T) {
	w, vmi, domain := worldWithDomain(t)
	launcher := collectChecker(t, w)
	w.sysfs.write(groupFolder(disk0.group)+"/msi_window", inMemory)
	_, err := launcher.OnDefineDomain(domain, vmi)
	checkRefusal(t, err)
}

// What issue 18861 takes from every VM, a `mode`, is put there, so that KubeVirt gets as far as to the call.
func TestCheckerOfAPluginAnswers(t *testing.T) {
	w, vmi, domain := worldWithDomain(t)
	for i := range domain.Devices.HostDevices {
		domain.Devices.HostDevices[i].Mode = "subsystem"
	}
	object := plugin.Plugin{}
	check(t, yaml.UnmarshalStrict([]byte(checkerObjects(t)[1]), &object))
	runChecker(t, w, object.Spec.DomainHooks[0].Sidecar.SocketPath)
	apply := func() error {
		_, _, err := domainhooks.ApplyDomainHooks([]plugin.Plugin{object}, vmi, domain, plugin.InvocationContextBoot)
		return err
	}
	check(t, apply())
	w.sysfs.write(groupFolder(disk0.group)+"/msi_window", inMemory)
	err := apply()
	checkRefusal(t, err)
	if !strings.Contains(err.Error(), "FailedPrecondition") {
		t.Error(err)
	}
}

// worldWithDomain is a pod of the first example, and the domain that its virt-launcher makes of it.
func worldWithDomain(t *testing.T) (*world, *v1.VirtualMachineInstance, *api.DomainSpec) {
	t.Helper()
	w := exampleWorld(t, disk0)
	vmi := exampleVMI(t, exampleCluster(t), exampleVM(t, "vm-one-device.yaml"))
	w.kubelet.startPod("vm", requestsOf(vmi)).enter(t)
	return w, vmi, domainOf(t, vmi)
}

func runChecker(t *testing.T, w *world, socket string) {
	t.Helper()
	check(t, os.MkdirAll(filepath.Dir(socket), 0o755))
	w.run(checkerVariable, "--socket", socket, "--sysfs-root", w.sysfs.root)
}

// collectChecker runs the checker as the only legacy sidecar of a pod, and is virt-launcher that has found it.
func collectChecker(t *testing.T, w *world) hooks.Manager {
	t.Helper()
	runChecker(t, w, filepath.Join(hooks.HookSocketsSharedDirectory, "hook-sidecar-0", t.Name()+".sock"))
	launcher := hooks.GetManager()
	check(t, launcher.Collect(1, patience))
	return launcher
}

func checkRefusal(t *testing.T, err error) {
	t.Helper()
	for _, part := range []string{"device " + disk0.address, "[0x40000000, 0x40100000) meets RAM of the guest"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Fatalf("wanted %q in %v", part, err)
		}
	}
}

// checkerObjects reads both objects of the manifest, with the comments taken away from the second one.
func checkerObjects(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(checkerManifest)
	check(t, err)
	vm, rest, _ := strings.Cut(string(text), "\n---\n")
	_, commented, found := strings.Cut(rest, "\n# apiVersion: ")
	if !found {
		t.Fatalf("%s has no second object", checkerManifest)
	}
	object := "apiVersion: " + strings.ReplaceAll(commented, "\n# ", "\n")
	return []string{vm, object}
}
