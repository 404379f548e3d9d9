// What those who read an object's status make of it: `health HEALTH_LUA` takes a JSON list of objects on stdin and writes
// a list of their verdicts, by kstatus, by Flux' copy of it, and by Argo CD with that script.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	flux "github.com/fluxcd/cli-utils/pkg/kstatus/status"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	luajson "layeh.com/gopher-json"
	kstatus "sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

type verdict struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

type verdicts struct {
	Kstatus verdict `json:"kstatus"`
	Flux    verdict `json:"flux"`
	ArgoCD  verdict `json:"argocd"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "health:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 2 {
		return fmt.Errorf("one argument is needed: the path of health.lua")
	}
	script, err := os.ReadFile(os.Args[1])
	if err != nil {
		return err
	}
	var objects []json.RawMessage
	if err := json.NewDecoder(os.Stdin).Decode(&objects); err != nil {
		return err
	}
	found := make([]verdicts, len(objects))
	for number, raw := range objects {
		if found[number], err = judge(raw, string(script)); err != nil {
			return fmt.Errorf("object %d: %w", number, err)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(found)
}

func judge(raw []byte, script string) (verdicts, error) {
	var object unstructured.Unstructured
	if err := object.UnmarshalJSON(raw); err != nil {
		return verdicts{}, err
	}
	byKstatus, err := kstatus.Compute(&object)
	if err != nil {
		return verdicts{}, err
	}
	byFlux, err := flux.Compute(&object)
	if err != nil {
		return verdicts{}, err
	}
	byArgoCD, err := argoCD(&object, raw, script)
	if err != nil {
		return verdicts{}, err
	}
	return verdicts{
		Kstatus: verdict{string(byKstatus.Status), byKstatus.Message},
		Flux:    verdict{string(byFlux.Status), byFlux.Message},
		ArgoCD:  byArgoCD,
	}, nil
}

var healths = map[string]bool{
	"Healthy": true, "Progressing": true, "Degraded": true, "Suspended": true, "Missing": true, "Unknown": true,
}

// As Argo CD's GetResourceHealth and ExecuteHealthLua: deletion comes before the script, which has the libraries
// package, base and table (Argo CD's os, of time and date alone, is left out) and one second.
func argoCD(object *unstructured.Unstructured, raw []byte, script string) (verdict, error) {
	if object.GetDeletionTimestamp() != nil {
		return verdict{"Progressing", "Pending deletion"}, nil
	}
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable,
	} {
		if err := state.CallByParam(lua.P{Fn: state.NewFunction(open), Protect: true}, lua.LString(name)); err != nil {
			return verdict{}, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	state.SetContext(ctx)
	value, err := luajson.Decode(state, raw)
	if err != nil {
		return verdict{}, err
	}
	state.SetGlobal("obj", value)
	if err := state.DoString(script); err != nil {
		return verdict{"Unknown", err.Error()}, nil
	}
	said := state.Get(-1)
	if said.Type() != lua.LTTable {
		return verdict{"Unknown", fmt.Sprintf("expect table output from Lua script, not %s", said.Type())}, nil
	}
	encoded, err := luajson.Encode(said)
	if err != nil {
		return verdict{}, err
	}
	var health verdict
	if err := json.Unmarshal(encoded, &health); err != nil {
		return verdict{}, err
	}
	if !healths[health.Status] {
		return verdict{"Unknown", "Lua returned an invalid health status"}, nil
	}
	return health, nil
}
