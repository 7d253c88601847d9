// SPDX-License-Identifier: Apache-2.0

// Reads a list of objects as JSON and prints kstatus' verdict on each, as Flux would have it.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

type verdict struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

func main() {
	if err := judge(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func judge(in io.Reader, out io.Writer) error {
	var documents []json.RawMessage
	if err := json.NewDecoder(in).Decode(&documents); err != nil {
		return err
	}
	verdicts := []verdict{}
	for _, document := range documents {
		var object unstructured.Unstructured
		// Numbers become int64 as an API client makes them; encoding/json alone makes floats.
		if err := object.UnmarshalJSON(document); err != nil {
			return err
		}
		result, err := status.Compute(&object)
		if err != nil {
			return err
		}
		verdicts = append(verdicts, verdict{Status: string(result.Status), Message: result.Message})
	}
	return json.NewEncoder(out).Encode(verdicts)
}
