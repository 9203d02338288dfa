// SPDX-License-Identifier: Apache-2.0

// Prints the CustomResourceDefinition of KubeVirt's CR as its operator installs it, as JSON.
package main

import (
	"encoding/json"
	"log"
	"os"

	"vfio-doorbell/tests/controller/crd/components"
)

func main() {
	crd, err := components.NewKubeVirtCrd()
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(crd); err != nil {
		log.Fatal(err)
	}
}
