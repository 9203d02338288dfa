// SPDX-License-Identifier: Apache-2.0
// The CRDs of Prometheus' operator, pinned. Nothing of it is built.
module vfio-doorbell/tests/tools/prometheus_operator

go 1.26.0

require github.com/prometheus-operator/prometheus-operator v0.85.0
