# SPDX-License-Identifier: Apache-2.0
"""The lab: emulated arm64 nodes with a real kubelet. `tests/lab/lab --help` is the front door."""
