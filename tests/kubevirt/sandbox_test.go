// SPDX-License-Identifier: Apache-2.0

package kubevirt

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

const insideVariable = "VFIO_DOORBELL_TESTS_INSIDE"

// TestMain runs the tests in namespaces of their own: KubeVirt looks for sidecars in folders of fixed paths below /var/run, which are
// not to be made on the machine, and nothing of this needs a network.
func TestMain(m *testing.M) {
	if os.Getenv(insideVariable) != "" {
		if err := syscall.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
			fmt.Fprintln(os.Stderr, "cannot mount a /run of the tests' own:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	again := exec.Command("/proc/self/exe", os.Args[1:]...)
	again.Env = append(os.Environ(), insideVariable+"=1")
	again.Stdout, again.Stderr = os.Stdout, os.Stderr
	again.SysProcAttr = &syscall.SysProcAttr{
		Unshareflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL,
	}
	var ended *exec.ExitError
	if err := again.Run(); errors.As(err, &ended) {
		os.Exit(ended.ExitCode())
	} else if err != nil {
		fmt.Fprintln(os.Stderr, "the tests need root, for namespaces of their own:", err)
		os.Exit(1)
	}
}
