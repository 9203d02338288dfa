// SPDX-License-Identifier: Apache-2.0

// Package virttemplate stands in for a module that the module proxy does not serve.
package virttemplate

import (
	"errors"

	"k8s.io/client-go/rest"
)

// Clientset has what an informer asks it for. There is none.
type Clientset struct{}

func NewForConfig(*rest.Config) (*Clientset, error) {
	return nil, errors.New("this is a stand-in without a client")
}

func (*Clientset) TemplateV1beta1() *Clientset { return nil }

func (*Clientset) RESTClient() rest.Interface { return nil }
