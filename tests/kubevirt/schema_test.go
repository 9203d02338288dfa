// SPDX-License-Identifier: Apache-2.0

package kubevirt

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	extv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"kubevirt.io/kubevirt/pkg/virt-operator/resource/generate/components"
	"sigs.k8s.io/yaml"
)

// objections says what an API server with KubeVirt's CRDs would have against a manifest. Unknown fields, which it would drop with a
// warning, count too.
func objections(t *testing.T, manifest string) []string {
	t.Helper()
	var object map[string]any
	if err := yaml.UnmarshalStrict([]byte(manifest), &object); err != nil {
		return []string{err.Error()}
	}
	definition := definitionOf(t, object["kind"])
	if definition == nil {
		return []string{fmt.Sprintf("KubeVirt has no kind %v", object["kind"])}
	}
	version := versionOf(definition, object["apiVersion"])
	if version == nil {
		return []string{fmt.Sprintf("KubeVirt serves no %v of version %v", object["kind"], object["apiVersion"])}
	}
	var properties apiextensions.JSONSchemaProps
	check(t, extv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(version.Schema.OpenAPIV3Schema, &properties, nil))
	structural, err := schema.NewStructural(&properties)
	check(t, err)
	validator, _, err := validation.NewSchemaValidator(&properties)
	check(t, err)

	found := validation.ValidateCustomResource(nil, object, validator)
	found = append(found, objectmeta.Validate(nil, object, structural, true)...)
	found = append(found, listtype.ValidateListSetsAndMaps(nil, structural, object)...)
	var texts []string
	for _, objection := range found {
		texts = append(texts, objection.Error())
	}
	unknown := pruning.PruneWithOptions(object, structural, true, schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	for _, path := range unknown {
		texts = append(texts, "unknown field "+path)
	}
	return texts
}

func definitionOf(t *testing.T, kind any) *extv1.CustomResourceDefinition {
	t.Helper()
	for _, definition := range []func() (*extv1.CustomResourceDefinition, error){
		components.NewKubeVirtCrd, components.NewVirtualMachineCrd, components.NewVirtualMachineInstanceCrd, components.NewPluginCrd,
	} {
		made, err := definition()
		check(t, err)
		if made.Spec.Names.Kind == kind {
			return made
		}
	}
	return nil
}

func versionOf(definition *extv1.CustomResourceDefinition, apiVersion any) *extv1.CustomResourceDefinitionVersion {
	for i, version := range definition.Spec.Versions {
		if definition.Spec.Group+"/"+version.Name == apiVersion && version.Served {
			return &definition.Spec.Versions[i]
		}
	}
	return nil
}

func TestExamplesFitKubeVirtsSchemas(t *testing.T) {
	for _, name := range manifestNames(t) {
		t.Run(name, func(t *testing.T) {
			for _, objection := range objections(t, readExample(t, name)) {
				t.Error(objection)
			}
		})
	}
}

func TestBrokenExamplesAreFound(t *testing.T) {
	const vm, patch = "vm-one-device.yaml", "kubevirt-patch.yaml"
	for _, broken := range []struct{ what, file, old, new, objection string }{
		{"another version", vm, "kubevirt.io/v1", "kubevirt.io/v2", "serves no VirtualMachine"},
		{"a field of another name", vm, "hostDevices:", "hostdevices:", "unknown field spec.template.spec.domain.devices.hostdevices"},
		{"a device without its name", vm, "name: disk, ", "", "name: Required value"},
		{"a word for a number", vm, "cores: 2", "cores: two", "must be of type integer"},
		{"a field twice", vm, "architecture: arm64", "architecture: arm64\n      architecture: amd64", "already set"},
		{"a field of the device that is none", vm, "name: disk,", "name: disk, window: 0x09100000,", "hostDevices[0].window"},
		{"a device without its selector", patch, `pciVendorSelector: "1B36:0010", `, "", "pciVendorSelector: Required value"},
		{"a gate for a list of gates", patch, "[HostDevices]", "HostDevices", "must be of type array"},
		{"a list that KubeVirt has not", patch, "pciHostDevices:", "hostDevices:", "permittedHostDevices.hostDevices"},
	} {
		t.Run(broken.what, func(t *testing.T) {
			text := readExample(t, broken.file)
			if !strings.Contains(text, broken.old) {
				t.Fatalf("%s has no %q", broken.file, broken.old)
			}
			found := strings.Join(objections(t, strings.Replace(text, broken.old, broken.new, 1)), "\n")
			if !strings.Contains(found, broken.objection) {
				t.Errorf("wanted %q, got %q", broken.objection, found)
			}
		})
	}
}
