// SPDX-License-Identifier: Apache-2.0

// Clientsuite runs containerd's own tests of its client, the package
// integration/client of the containerd module that go.mod names, unmodified,
// with any runtime as their default, against a containerd of the same version.
//
//	make client-suite                                   all of it, with mini
//	make client-suite RUNTIME=io.containerd.runc.v2     the baseline
//	make client-suite RUN='TestContainerExec$|TestTask' some tests
//	go run ./integration/clientsuite -class runtime     those that run a task
//	go run ./integration/clientsuite -alone 1m          each in a daemon of its own
//
// It ends with a table of what is not as baseline.txt says, and with status 0
// only if nothing is worse: no test fails that passes with runc, every test
// has a result, and when the daemon has stopped nothing is left of processes,
// sockets, bundles, mounts and cgroups. Output of the tests, containerd's log,
// the results and what was left are in bin/clientsuite/log/RUNTIME/.
//
// # How
//
//	build.go     outside: containerd, the suite's test binary, runc and the
//	             shims into bin/clientsuite, by Go's cache; see modfile there
//	             for how the suite's dependencies are pinned
//	surround.go  inside the bed (package bed), which is in namespaces of its
//	             own: empty /tmp, /var/lib and /opt, a hosts file, the registry
//	suite.go     the test binary, and a time after which it is killed
//	output.go    its output as results
//	leftovers.go what it has left
//	baseline.go  what is expected of each test, and what it needs
//	verdict.go   the comparison, and the table
//
// There is no network. The images that the suite pulls come from package
// registry on the loopback device. One subtest pulls by a digest that nobody
// but ghcr.io can serve; it is left out.
//
// # Classes and needs
//
// A line of baseline.txt has the test's result with runc, its class, and what
// it needs of the machine or of the runtime. Where that is missing the test is
// left out, and the table says so.
//
//	runtime      runs a task with the runtime under test. Found by running the
//	             suite with a runtime that does not exist
//	criu         the same, and checkpoints it
//	runc-binary  the same, through the runc binary or its state directory
//	fixed-runc   runs tasks, but with io.containerd.runc.v2 whatever is asked
//	none         runs no task: passing says nothing about a runtime
//
// A test of the last two classes that fails is run once more, alone: some of
// containerd's own tests fail now and then on a busy machine. A test that runs
// a task with the runtime has no second try.
//
// # Elsewhere
//
// bin/clientsuite holds everything once it is built, this program as well, so
// that it can be taken to a machine without Go, as the virtual machine of the
// tests: there, bin/clientsuite/clientsuite -built -runtime io.containerd.mini.v2.
// `make client-suite-vm` does so for the tests that need what this machine lacks.
package main
