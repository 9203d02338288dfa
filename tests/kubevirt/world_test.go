// SPDX-License-Identifier: Apache-2.0

package kubevirt

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// Where the daemon to be tested is; scripts/test says so.
	daemonVariable = "VFIO_DOORBELL_PLUGIN"
	// Long enough for a busy machine. What waits longer fails and says for what.
	patience = 30 * time.Second
)

// A world is the real daemon, and around it a sysfs and a kubelet that are fake.
type world struct {
	t       *testing.T
	folder  string
	sysfs   fakeSysfs
	kubelet *fakeKubelet
}

// newWorld makes an empty host with a kubelet that serves.
func newWorld(t *testing.T) *world {
	t.Helper()
	// Not t.TempDir(): its names are too long for the path of a socket.
	folder, err := os.MkdirTemp("", "kubevirt-")
	check(t, err)
	t.Cleanup(func() { os.RemoveAll(folder) })
	w := &world{t: t, folder: folder, sysfs: fakeSysfs{
		t: t, root: filepath.Join(folder, "sys"), nodes: filepath.Join(folder, "dev/vfio"),
	}}
	for _, name := range []string{"plugins", "dev/vfio/devices", "sys/kernel/iommu_groups"} {
		check(t, os.MkdirAll(w.path(name), 0o755))
	}
	check(t, os.WriteFile(w.path("dev/vfio/vfio"), nil, 0o644))
	w.kubelet = startFakeKubelet(t, w.path("plugins"), w.path("pods.sock"))
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.folder, name) }

// start runs the daemon with a configuration.
func (w *world) start(config string, more ...string) {
	w.t.Helper()
	check(w.t, os.WriteFile(w.path("config.yaml"), []byte(config), 0o644))
	w.run(daemonVariable, append([]string{
		"--config", w.path("config.yaml"), "--kubelet-dir", w.path("plugins"), "--sysfs-root", w.sysfs.root,
		"--dev-root", w.path("dev"), "--state-dir", w.path("state"), "--admin-socket", w.path("admin.sock"), "--cdi-dir", w.path("cdi"),
		"--data-dir", w.path("data"), "--pod-resources-socket", w.path("pods.sock"),
	}, more...)...)
}

// run has the program that a variable names run until the end of the test, and expects it to end well.
func (w *world) run(variable string, arguments ...string) {
	w.t.Helper()
	program := os.Getenv(variable)
	if program == "" {
		w.t.Fatalf("%s does not say where the program is", variable)
	}
	log := &lockedBuffer{}
	command := exec.Command(program, arguments...)
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	check(w.t, command.Start())
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	w.t.Cleanup(func() {
		command.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-ended:
			if err != nil {
				w.t.Errorf("%s ended with %v", program, err)
			}
		case <-time.After(patience):
			command.Process.Kill()
			w.t.Errorf("%s did not end within %v of SIGTERM", program, patience)
		}
		if w.t.Failed() {
			w.t.Logf("log of %s:\n%s", program, log)
		}
	})
}

// A lockedBuffer takes what a program writes while a test reads it.
type lockedBuffer struct {
	mutex  sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(text []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.buffer.Write(text)
}

func (b *lockedBuffer) String() string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.buffer.String()
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T any](t *testing.T, what string, got, wanted T) {
	t.Helper()
	if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", wanted) {
		t.Errorf("%s: got %#v, wanted %#v", what, got, wanted)
	}
}
