// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// short is a grace time to wait for.
const short = 50 * time.Millisecond

// lifeOf makes a life; abandoned is closed at its end.
func lifeOf(t *testing.T, bundle string, grace time.Duration) (l *life, abandoned chan struct{}) {
	t.Helper()
	abandoned = make(chan struct{})
	l = newLife(bundle, grace, func() {}, func() { close(abandoned) })
	t.Cleanup(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.timer.Stop()
	})
	return l, abandoned
}

// connect returns the server's end of a connection.
func connect(t *testing.T, l *life) net.Conn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	served, _, err := l.Handshake(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	return served
}

func bundle(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func remove(t *testing.T, bundle string) {
	t.Helper()
	if err := os.Remove(filepath.Join(bundle, "config.json")); err != nil {
		t.Fatal(err)
	}
}

func still(t *testing.T, abandoned chan struct{}, when string) {
	t.Helper()
	select {
	case <-abandoned:
		t.Fatalf("abandoned %s", when)
	case <-time.After(200 * time.Millisecond):
	}
}

func gone(t *testing.T, abandoned chan struct{}, when string) {
	t.Helper()
	select {
	case <-abandoned:
	case <-time.After(10 * time.Second):
		t.Fatalf("not abandoned %s", when)
	}
}

func TestLifeEndsWithTheLastBundle(t *testing.T) {
	first, second := bundle(t), bundle(t)
	l, abandoned := lifeOf(t, first, short)
	l.keep(second)
	conn := connect(t, l)
	still(t, abandoned, "at once")
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	still(t, abandoned, "though containerd may only have restarted")
	remove(t, first)
	still(t, abandoned, "with a container left")
	remove(t, second)
	gone(t, abandoned, "without bundles and connections")
}

func TestLifeEndsWithTheLastConnection(t *testing.T) {
	only := bundle(t)
	l, abandoned := lifeOf(t, only, short)
	one, two := connect(t, l), connect(t, l)
	remove(t, only)
	still(t, abandoned, "with two connections")
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	if err := one.Close(); err == nil {
		t.Error("closed twice without an error")
	}
	still(t, abandoned, "with one connection")
	if err := two.Close(); err != nil {
		t.Fatal(err)
	}
	gone(t, abandoned, "without bundles and connections")
}

func TestLifeOfConnectionInGrace(t *testing.T) {
	only := bundle(t)
	l, abandoned := lifeOf(t, only, 300*time.Millisecond)
	remove(t, only)
	time.Sleep(100 * time.Millisecond)
	connect(t, l)
	time.Sleep(300 * time.Millisecond)
	still(t, abandoned, "with a connection made in the grace time")
}

func TestHandshakeWantsUnixSocket(t *testing.T) {
	l, _ := lifeOf(t, bundle(t), short)
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if _, _, err := l.Handshake(t.Context(), a); err == nil {
		t.Error("a pipe was let in")
	}
}

// A pod whose containers are made again and again does not make its shim grow.
func TestLifeForgetsBundlesWhileConnected(t *testing.T) {
	first := bundle(t)
	l, abandoned := lifeOf(t, first, short)
	conn := connect(t, l)
	for range 1000 {
		b := bundle(t)
		l.keep(b)
		remove(t, b)
	}
	l.mu.Lock()
	if n := len(l.files); n > 100 {
		t.Errorf("%d bundles are noted", n)
	}
	l.mu.Unlock()
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	still(t, abandoned, "with the first container left")
	remove(t, first)
	gone(t, abandoned, "without bundles and connections")
}
