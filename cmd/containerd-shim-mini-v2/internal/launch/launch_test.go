// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"crypto/sha256"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestParse(t *testing.T) {
	got, err := Parse([]string{
		"-namespace", "k8s.io", "--address=/run/c.sock", "-publish-binary", "/usr/bin/containerd",
		"-id", "-x", "-debug", "-bundle", "", "delete", "-info",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := &Flags{
		Namespace: "k8s.io", Address: "/run/c.sock", PublishBinary: "/usr/bin/containerd",
		ID: "-x", Debug: true, Action: "delete",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Parse = %+v, want %+v", got, want)
	}
	if f, err := Parse([]string{"-v", "-debug=false", "-info=1", "--", "start"}); err != nil || !f.Version ||
		f.Debug || !f.Info || f.Action != "start" {
		t.Errorf("Parse = %+v, %v", f, err)
	}
	for _, bad := range [][]string{{"-nonsense"}, {"-id"}, {"-debug=perhaps"}, {"-=x"}} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("Parse(%q) accepted it", bad)
		}
	}
}

func TestFindAnnotations(t *testing.T) {
	names := groupLabels[:]
	tests := []struct {
		name, spec string
		want       map[string]string
		fail       bool
	}{
		{"none", `{"ociVersion":"1.2.0","process":{"args":["}","\"]"]}}`, map[string]string{}, false},
		{"both", `{"annotations":{"io.kubernetes.cri.sandbox-id":"pod","a":{"x":[1]},"io.containerd.runc.v2.group":"g"}}`, map[string]string{names[0]: "g", names[1]: "pod"}, false},
		{"not at the top", `{"process":{"annotations":{"io.containerd.runc.v2.group":"g"}}}`, map[string]string{}, false},
		{"escapes", `{ "annotations" : { "io.containerd.runc.v2.gr\u006fup" : "\"\\\/\b\f\n\r\té\ud83d\ude00\ud800x" } } `, map[string]string{names[0]: "\"\\/\b\f\n\r\té😀\uFFFDx"}, false},
		{"null", `{"annotations":null}`, map[string]string{}, false},
		{"twice", `{"annotations":{"io.containerd.runc.v2.group":"a"},"x":-1.5e3,"annotations":{"io.containerd.runc.v2.group":"b"}}`, map[string]string{names[0]: "b"}, false},
		{"no object", `[]`, nil, true},
		{"empty", ``, nil, true},
		{"cut off", `{"annotations":{"io.containerd.runc.v2.group":"g"`, nil, true},
		{"cut off in a string", `{"a":"b`, nil, true},
		{"brackets crossed", `{"a":[{]}}`, nil, true},
		{"bad escape", `{"annotations":{"io.containerd.runc.v2.group":"\x"}}`, nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := findAnnotations([]byte(tt.spec), names)
			if (err != nil) != tt.fail {
				t.Fatalf("error %v", err)
			}
			if !tt.fail && !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// FuzzFindAnnotations: what encoding/json reads, the scanner reads alike.
func FuzzFindAnnotations(f *testing.F) {
	f.Add([]byte(`{"ociVersion":"1","annotations":{"a":"\u00e9\ud83d\ude00","b":"x"},"linux":{"x":[1,2,{"a":null}]}}`))
	f.Add([]byte(`{"annotations":{"a":"x"},"annotations":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := findAnnotations(data, []string{"a", "b"})
		// A map, since encoding/json would take "Annotations" for the same field.
		var want map[string]json.RawMessage
		var inner map[string]any
		if json.Unmarshal(data, &want) != nil || want == nil || json.Unmarshal(want["annotations"], &inner) != nil {
			return
		}
		if err != nil {
			t.Fatalf("refused what encoding/json reads: %v", err)
		}
		for _, n := range []string{"a", "b"} {
			text, isText := inner[n].(string)
			g, ok := got[n]
			if isText && (!ok || g != text && valid(text)) {
				t.Fatalf("%s: read %q (%v), want %q", n, g, ok, text)
			}
		}
	})
}

// valid says that the text came from valid UTF-8: encoding/json puts U+FFFD in
// place of other bytes, which the scanner passes on.
func valid(s string) bool {
	for _, r := range s {
		if r == '\uFFFD' {
			return false
		}
	}
	return true
}

func TestReadExit(t *testing.T) {
	at := time.Date(2026, 11, 21, 10, 0, 0, 123456789, time.FixedZone("", 7200))
	data, err := json.Marshal(struct {
		Timestamp time.Time
		Pid       int
		Status    uint32
	}{at, 4711, 137})
	if err != nil {
		t.Fatal(err)
	}
	e, ok := readExit(data)
	if !ok || e.Pid != 4711 || e.Status != 137 || !e.At.Equal(at) {
		t.Errorf("readExit = %+v, %v", e, ok)
	}
	for _, bad := range []string{"", "{}", "null", `{"Pid":1,"Status":2}`, `{"Timestamp":"x","Pid":1,"Status":2}`, string(data[:len(data)-3])} {
		if e, ok := readExit([]byte(bad)); ok {
			t.Errorf("readExit(%s) = %+v", bad, e)
		}
	}
}

func TestSpecOfContainerd(t *testing.T) {
	data, err := json.Marshal(&specs.Spec{
		Version: "1.2.0", Process: &specs.Process{Args: []string{"sh", "-c", `echo "{}"`}},
		Annotations: map[string]string{groupLabels[1]: "pod1", "x": "y"},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := findAnnotations(data, groupLabels[:])
	if err != nil || got[groupLabels[1]] != "pod1" || len(got) != 1 {
		t.Errorf("findAnnotations = %v, %v", got, err)
	}
}

func TestSHA256(t *testing.T) {
	data := make([]byte, 300)
	for i := range data {
		data[i] = byte(i * 7)
		if got, want := sha256Sum(data[:i]), sha256.Sum256(data[:i]); got != want {
			t.Fatalf("of %d bytes: %x, want %x", i, got, want)
		}
	}
}

func TestIsDaemon(t *testing.T) {
	for args, want := range map[string]bool{
		"-namespace x -id y": true, "-namespace x -id y start": false, "-namespace x -info": false,
		"-v": false, "-id y": false, "-bad": false, "-test.run=x": false,
	} {
		if got := IsDaemon(strings.Fields(args)); got != want {
			t.Errorf("IsDaemon(%s) = %v", args, got)
		}
	}
}
