// SPDX-License-Identifier: Apache-2.0

// Package core stands in for a module that the module proxy does not serve: only the names that
// KubeVirt's packages need in order to compile. No test reaches them.
package core

const (
	GroupName            = "template.kubevirt.io"
	SingularResourceName = "virtualmachinetemplate"
	PluralResourceName   = "virtualmachinetemplates"
)
