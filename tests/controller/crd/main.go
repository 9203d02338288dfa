// SPDX-License-Identifier: Apache-2.0

// Prints CustomResourceDefinitions of KubeVirt as its operator installs them: a JSON object with one for each kind.
package main

import (
	"encoding/json"
	"log"
	"os"

	extensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"vfio-doorbell/tests/controller/crd/components"
)

func main() {
	crds := map[string]any{}
	for _, make := range []func() (*extensions.CustomResourceDefinition, error){
		components.NewKubeVirtCrd, components.NewVirtualMachineCrd,
	} {
		crd, err := make()
		if err != nil {
			log.Fatal(err)
		}
		crds[crd.Spec.Names.Kind] = crd
	}
	if err := json.NewEncoder(os.Stdout).Encode(crds); err != nil {
		log.Fatal(err)
	}
}
