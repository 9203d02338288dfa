# SPDX-License-Identifier: Apache-2.0
# The front door: every target is one command that can be run by itself.
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help deps build install images check test test-unit test-integration test-helm test-kubevirt test-sanitizers test-reliability test-controller test-monitoring test-status test-images test-images-full test-kernel test-kernel-full test-e2e-fast e2e e2e-newest test-lab test-lab-full test-deb manifests demo bench fuzz kernel kernel-check kernel-deb clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 20

deps: ## install the Debian packages that are missing (root)
	@scripts/install-deps

build: deps ## build the programs as they are shipped, in build/release/plugin: daemon, checker, doorbellctl, controller, monitor
	cmake --preset release
	cmake --build --preset programs

install: build ## install them, man page and `kubectl doorbell` below PREFIX (/usr/local), or below DESTDIR for a package
	cmake --install build/release $(if $(PREFIX),--prefix "$(PREFIX)")

images: deps ## container images of all programs for amd64 and arm64, with bills of materials: build/images
	@images/build

check: ## formatting, clang-tidy, include rules, licences, shell, Python; and that each can fail
	@scripts/test check selftest

test: ## everything, as CI runs it
	@scripts/test

test-unit: ## unit tests
	@scripts/test unit

test-integration: ## the real binary against a fake kubelet and a fake sysfs
	@scripts/test integration

test-helm: ## the chart: what Helm and the schemas of Kubernetes say, each bad value, rights
	@scripts/test helm

test-kubevirt: ## KubeVirt's own Go code against the real binaries; the examples against KubeVirt's schemas
	@scripts/test kubevirt

test-sanitizers: ## unit and integration tests under AddressSanitizer and UBSan; what has no gRPC also under ThreadSanitizer
	@scripts/test sanitizers tsan

test-reliability: ## 1,000 kills, 1,000 kubelets, 100,000 lives of a model, half an hour of churn, a VM under kills on the lab's node: an hour
	@scripts/test kills kubelets model soak endurance

test-controller: ## the controller on a real API server with KubeVirt's CRD
	@scripts/test controller

test-monitoring: ## a real Prometheus scrapes the real programs; each alert and each query of the dashboard finds something
	@scripts/test monitoring

test-status: ## what is told of a node, on a real API server, with the rights and policies of manifests/
	@scripts/test status

test-images: ## the container images: what is in them, that they start, that a second packing gives the same bytes
	@scripts/test images

test-images-full: ## that cosign, skopeo, crane and a registry do with them what is documented; that a second build, elsewhere and without a compiler cache, gives the same
	@scripts/test images-signed images-rebuilt

test-kernel: ## the kernel series in an emulated arm64 machine
	@scripts/test series kernel

test-kernel-full: ## the same beside a kernel without it, on 7.2, on one that checks its locks and memory, and what it costs: an hour
	@scripts/test kernel-control series-7.2 kernel-7.2 kernel-debug kernel-cost

test-e2e-fast: ## the chart on a kind cluster: installed, updated, refused, taken away
	@scripts/test e2e-fast

e2e: ## the chart on a kind cluster whose worker is the emulated arm64 host: VMs over updates, restarts and a power cut
	@scripts/test e2e

e2e-newest: ## both on the newest Kubernetes that the lab has
	@scripts/test e2e-fast-newest e2e-newest

test-lab: ## real kernel, real kubelet, pod VM with an interrupt through its device
	@scripts/test tools lab

test-lab-full: ## the same on the newest kubelet that the lab has; drivers bound and given back; a domain of KubeVirt's by libvirt
	@scripts/test lab-newest lab-binding lab-libvirt

test-deb: deps ## build packages of a small kernel, install them in an emulated machine, boot it, go back
	@/usr/bin/python3 -m pytest tests/kernel/deb_test.py
	@tests/kernel/install-deb

manifests: deps ## make manifests/ of the chart
	@scripts/manifests

demo: deps ## watch the whole chain work, with times
	@tests/e2e/demo

bench: deps ## measure the daemon: build/bench.json and docs/performance.md
	@scripts/bench

fuzz: deps ## ten million inputs for each parser, made up by libFuzzer: an hour
	@scripts/fuzz

kernel: deps ## build the patched arm64 kernel; prints where its Image is
	@kernel/build

kernel-check: deps ## everything a kernel maintainer would run on the series, on both bases; whole kernels too
	@kernel/check --all

kernel-deb: deps ## build arm64 Debian packages of it; CONFIG= small or a file, default Debian's (hours)
	@kernel/deb $(if $(CONFIG),--config "$(CONFIG)")

clean: ## remove build/ (caches outside the checkout stay)
	rm -rf build
