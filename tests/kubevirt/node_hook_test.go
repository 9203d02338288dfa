// SPDX-License-Identifier: Apache-2.0

package kubevirt

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"k8s.io/client-go/tools/cache"
	v1 "kubevirt.io/api/core/v1"
	plugin "kubevirt.io/api/plugin/v1alpha1"
	"kubevirt.io/kubevirt/pkg/testutils"
	nodehooks "kubevirt.io/kubevirt/pkg/virt-handler/plugins"
	domainhooks "kubevirt.io/kubevirt/pkg/virt-launcher/virtwrap/plugins"
	"sigs.k8s.io/yaml"
)

const (
	pluginManifest = "../../manifests/node-hook-plugin.yaml"
	nodeName       = "node-a"
)

func TestNodeHookPluginFitsKubeVirtsSchema(t *testing.T) {
	text, err := os.ReadFile(pluginManifest)
	check(t, err)
	for _, objection := range objections(t, string(text)) {
		t.Error(objection)
	}
}

func TestNodeHookLetsAnExampleStartAsOftenAsItIsAsked(t *testing.T) {
	w, vmi := worldWithNodeHook(t, readExample(t, "config.yaml"))
	for range 20 {
		check(t, nodeHookOf(t, w).CallNodeHooks(plugin.NodeHookPreVMStart, vmi, nodeName))
	}
	check(t, nodeHookOf(t, w).CallNodeHooks(plugin.NodeHookPostVMStop, vmi, nodeName))
}

func TestNodeHookRefusesAMovedWindow(t *testing.T) {
	w, vmi := worldWithNodeHook(t, readExample(t, "config.yaml"))
	w.sysfs.write(groupFolder(disk0.group)+"/msi_window", "0x08000000 0x00100000")
	err := nodeHookOf(t, w).CallNodeHooks(plugin.NodeHookPreVMStart, vmi, nodeName)
	expectRefusal(t, err, disk0.address, "delete the pod")
}

func TestNodeHookRefusesAWindowInMemory(t *testing.T) {
	const unproven = "\nwindow: {pool: {start: 0x80000000, end: 0x90000000}, allowUnproven: true}\n"
	w, vmi := worldWithNodeHook(t, readExample(t, "config.yaml")+unproven)
	hook := nodeHookOf(t, w)
	expectRefusal(t, hook.CallNodeHooks(plugin.NodeHookPreVMStart, vmi, nodeName), disk0.address, "0x80000000", "RAM")
	vmi.Spec.Domain.Memory.Guest.Set(1 << 30)
	check(t, hook.CallNodeHooks(plugin.NodeHookPreVMStart, vmi, nodeName))
}

// The condition of the manifest is in KubeVirt's language.
func TestNodeHookIsOnlyAskedForOurDevices(t *testing.T) {
	w := newWorld(t) // without a daemon: to be asked is to fail
	hook := nodeHookOf(t, w)
	vmi := exampleVMI(t, exampleCluster(t), exampleVM(t, "vm-one-device.yaml"))
	if hook.CallNodeHooks(plugin.NodeHookPreVMStart, vmi, nodeName) == nil {
		t.Error("a VM with a device of ours starts although the daemon is not there")
	}
	check(t, hook.CallNodeHooks(plugin.NodeHookPreVMStop, vmi, nodeName))
	vmi.Spec.Domain.Devices.HostDevices[0].DeviceName = "other.example/nvme"
	check(t, hook.CallNodeHooks(plugin.NodeHookPreVMStart, vmi, nodeName))
	vmi.Spec.Domain.Devices.HostDevices = nil
	check(t, hook.CallNodeHooks(plugin.NodeHookPreVMStart, vmi, nodeName))
}

// Why the hook is off by default. Once this fails, KubeVirt has mended its issue 18861, and docs/kubevirt.md is to be changed.
func TestKubeVirtStartsNoVMWithAPCIDeviceBesideAnyPlugin(t *testing.T) {
	w := exampleWorld(t, disk0)
	vmi := exampleVMI(t, exampleCluster(t), exampleVM(t, "vm-one-device.yaml"))
	w.kubelet.startPod("vm", requestsOf(vmi)).enter(t)
	anyPlugin := plugin.Plugin{Spec: plugin.PluginSpec{Condition: "false"}}
	_, _, err := domainhooks.ApplyDomainHooks([]plugin.Plugin{anyPlugin}, vmi, domainOf(t, vmi), plugin.InvocationContextBoot)
	if err == nil || !strings.Contains(err.Error(), "Missing 'mode' attribute") {
		t.Errorf("got %v", err)
	}
}

// expectRefusal looks into what KubeVirt shows in an event of the VMI.
func expectRefusal(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range append(parts, "plugin vfio-doorbell failed", "FailedPrecondition") {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("wanted %q in %v", part, err)
		}
	}
}

// worldWithNodeHook runs the daemon with its node hook, and a pod of the first example in which QEMU has not started yet.
func worldWithNodeHook(t *testing.T, config string) (*world, *v1.VirtualMachineInstance) {
	t.Helper()
	w := newWorld(t)
	w.sysfs.add(disk0)
	w.start(config, "--node-hook-socket", w.path("hook.sock"))
	vmi := exampleVMI(t, exampleCluster(t), exampleVM(t, "vm-one-device.yaml"))
	w.kubelet.startPod(fmt.Sprintf("virt-launcher-%s-x7k2p", vmi.Name), requestsOf(vmi))
	return w, vmi
}

// nodeHookOf is virt-handler's side of the hook, with the object of the manifest; only the path of its socket is the world's.
func nodeHookOf(t *testing.T, w *world) nodehooks.NodeHookExecutor {
	t.Helper()
	text, err := os.ReadFile(pluginManifest)
	check(t, err)
	object := &plugin.Plugin{}
	check(t, yaml.UnmarshalStrict(text, object))
	object.Spec.NodeHooks[0].Socket = w.path("hook.sock")
	store := cache.NewStore(cache.MetaNamespaceKeyFunc)
	check(t, store.Add(object))
	cluster, _, _ := testutils.NewFakeClusterConfigUsingKVConfig(&v1.KubeVirtConfiguration{
		DeveloperConfiguration: &v1.DeveloperConfiguration{FeatureGates: []string{"Plugins"}}})
	hook, err := nodehooks.NewNodeHookManager(store, cluster)
	check(t, err)
	return hook
}
