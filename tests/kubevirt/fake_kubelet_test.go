// SPDX-License-Identifier: Apache-2.0

package kubevirt

import (
	"context"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	deviceplugin "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
	podresources "k8s.io/kubelet/pkg/apis/podresources/v1"
)

const computeContainer = "compute"

// A fakeKubelet takes registrations, hands devices out and says who has them, over the real sockets. It has one container for
// each pod.
type fakeKubelet struct {
	deviceplugin.UnimplementedRegistrationServer
	podresources.UnimplementedPodResourcesListerServer

	t      *testing.T
	folder string

	mutex     sync.Mutex
	changed   chan struct{} // closed and replaced with each change of what follows
	resources map[string]*resource
	pods      []*podresources.PodResources
}

// A resource is what a registered plugin offers.
type resource struct {
	plugin  deviceplugin.DevicePluginClient
	options *deviceplugin.DevicePluginOptions
	devices []*deviceplugin.Device
	used    map[string]bool
}

// A container is what a plugin's answers make of one.
type container struct {
	environment map[string]string
	devices     map[string]*deviceplugin.DeviceSpec // by path in the container
	mounts      map[string]*deviceplugin.Mount      // by path in the container
	answers     map[string]*deviceplugin.ContainerAllocateResponse
}

func startFakeKubelet(t *testing.T, folder, podsSocket string) *fakeKubelet {
	t.Helper()
	k := &fakeKubelet{t: t, folder: folder, changed: make(chan struct{}), resources: map[string]*resource{}}
	for _, socket := range []string{filepath.Join(folder, "kubelet.sock"), podsSocket} {
		listener, err := net.Listen("unix", socket)
		check(t, err)
		server := grpc.NewServer()
		deviceplugin.RegisterRegistrationServer(server, k)
		podresources.RegisterPodResourcesListerServer(server, k)
		go server.Serve(listener)
		t.Cleanup(server.Stop)
	}
	return k
}

func (k *fakeKubelet) Register(_ context.Context, request *deviceplugin.RegisterRequest) (*deviceplugin.Empty, error) {
	if request.Version != deviceplugin.Version {
		return nil, fmt.Errorf("version %q is not known", request.Version)
	}
	connection, err := dial(filepath.Join(k.folder, request.Endpoint))
	if err != nil {
		return nil, err
	}
	registered := &resource{
		plugin: deviceplugin.NewDevicePluginClient(connection), options: request.Options, used: map[string]bool{},
	}
	k.change(func() { k.resources[request.ResourceName] = registered })
	// Ends with the daemon, which closes the stream.
	go func() {
		defer connection.Close()
		stream, err := registered.plugin.ListAndWatch(context.Background(), &deviceplugin.Empty{})
		for err == nil {
			var list *deviceplugin.ListAndWatchResponse
			if list, err = stream.Recv(); err == nil {
				k.change(func() { registered.devices = list.Devices })
			}
		}
	}()
	return &deviceplugin.Empty{}, nil
}

func (k *fakeKubelet) List(context.Context, *podresources.ListPodResourcesRequest) (*podresources.ListPodResourcesResponse, error) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	return &podresources.ListPodResourcesResponse{PodResources: slices.Clone(k.pods)}, nil
}

// startPod does what a kubelet does for a pod with one container: chooses devices, asks for each resource by itself, and announces
// the start once all have answered.
func (k *fakeKubelet) startPod(name string, requests map[string]int) *container {
	k.t.Helper()
	made := &container{
		environment: map[string]string{}, devices: map[string]*deviceplugin.DeviceSpec{},
		mounts: map[string]*deviceplugin.Mount{}, answers: map[string]*deviceplugin.ContainerAllocateResponse{},
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	listed := &podresources.ContainerResources{Name: computeContainer}
	chosen := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(requests)) {
		ids := k.choose(ctx, name, requests[name])
		answer, err := k.resource(name).plugin.Allocate(ctx, &deviceplugin.AllocateRequest{
			ContainerRequests: []*deviceplugin.ContainerAllocateRequest{{DevicesIds: ids}}})
		if err != nil {
			k.t.Fatalf("%s: Allocate: %v", name, err)
		}
		made.take(k.t, name, answer.ContainerResponses[0])
		chosen[name] = ids
		listed.Devices = append(listed.Devices, &podresources.ContainerDevices{ResourceName: name, DeviceIds: ids})
	}
	k.change(func() {
		k.pods = append(k.pods, &podresources.PodResources{
			Namespace: "default", Name: name, Containers: []*podresources.ContainerResources{listed}})
	})
	for name, ids := range chosen {
		if !k.resource(name).options.GetPreStartRequired() {
			continue
		}
		_, err := k.resource(name).plugin.PreStartContainer(ctx, &deviceplugin.PreStartContainerRequest{DevicesIds: ids})
		if err != nil {
			k.t.Fatalf("%s: PreStartContainer: %v", name, err)
		}
	}
	return made
}

// choose waits for `count` free devices and takes those that the plugin prefers.
func (k *fakeKubelet) choose(ctx context.Context, name string, count int) []string {
	k.t.Helper()
	var free []string
	k.wait(fmt.Sprintf("%d free devices of %s", count, name), func() bool {
		free = nil
		if registered := k.resources[name]; registered != nil {
			for _, device := range registered.devices {
				if device.Health == deviceplugin.Healthy && !registered.used[device.ID] {
					free = append(free, device.ID)
				}
			}
		}
		return len(free) >= count
	})
	registered := k.resource(name)
	if registered.options.GetGetPreferredAllocationAvailable() {
		answer, err := registered.plugin.GetPreferredAllocation(ctx, &deviceplugin.PreferredAllocationRequest{
			ContainerRequests: []*deviceplugin.ContainerPreferredAllocationRequest{
				{AvailableDeviceIDs: free, AllocationSize: int32(count)}}})
		check(k.t, err)
		free = answer.ContainerResponses[0].DeviceIDs
	}
	ids := free[:count]
	k.change(func() {
		for _, id := range ids {
			registered.used[id] = true
		}
	})
	return ids
}

// take adds an answer to the container. A kubelet keeps the first of two answers that name the same thing, in no order that could
// be relied on, so two must not differ.
func (c *container) take(t *testing.T, resource string, answer *deviceplugin.ContainerAllocateResponse) {
	t.Helper()
	c.answers[resource] = answer
	for name, value := range answer.Envs {
		if there, is := c.environment[name]; is && there != value {
			t.Errorf("two answers give %s: %q and %q", name, there, value)
		}
		c.environment[name] = value
	}
	for _, device := range answer.Devices {
		if there := c.devices[device.ContainerPath]; there != nil && there.String() != device.String() {
			t.Errorf("two answers give %s: %v and %v", device.ContainerPath, there, device)
		}
		c.devices[device.ContainerPath] = device
	}
	for _, mount := range answer.Mounts {
		if there := c.mounts[mount.ContainerPath]; there != nil && there.String() != mount.String() {
			t.Errorf("two answers give %s: %v and %v", mount.ContainerPath, there, mount)
		}
		c.mounts[mount.ContainerPath] = mount
	}
}

// enter gives the test the environment of the container, which is where KubeVirt looks.
func (c *container) enter(t *testing.T) {
	t.Helper()
	for name, value := range c.environment {
		t.Setenv(name, value)
	}
}

func (k *fakeKubelet) resource(name string) *resource {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	return k.resources[name]
}

func (k *fakeKubelet) change(what func()) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	what()
	close(k.changed)
	k.changed = make(chan struct{})
}

func (k *fakeKubelet) wait(what string, is func() bool) {
	k.t.Helper()
	deadline := time.After(patience)
	for {
		k.mutex.Lock()
		done, changed := is(), k.changed
		k.mutex.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			k.t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

func dial(socket string) (*grpc.ClientConn, error) {
	return grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
}
