// SPDX-License-Identifier: Apache-2.0

// Package relay moves bytes from one file to another, as they come: between the
// anonymous pipes that containers have for streams and the fifos, log files and
// terminals on the other side.
//
// # How
//
//	pipe -> pipe, fifo     splice(2): pages change their owner, nothing is copied
//	anything else          read and write, 64 KiB at a time: no splice goes into a
//	                       file with O_APPEND, and none through a terminal
//
// A relay is one goroutine, in Run. It holds a buffer only while it has bytes that
// it could not write yet, so at rest it costs its stack. When nothing is there, or no
// room, it waits for exactly that, with one epoll instance for all relays, in which
// a file is armed for one event at a time. The runtime's own poller would not do: it
// is woken by each write into a pipe that it knows, also while nobody waits.
//
// Every system call on a stream is made by its own relay's goroutine: pipe_write
// holds the pipe's mutex while it copies from the writer's memory, so a container
// whose memory is a file on a dead server can hold up whoever touches its pipe, in
// an uninterruptible sleep. That is its own relay then, and a thread, until it is
// killed; and since splice(2) takes the mutexes of both pipes, whoever reads the fifo,
// as with a container that writes into the fifo itself. Nobody may wait for a relay
// without a bound, nor make a call on its files while it is stuck.
//
// # Pace
//
// A container that writes lines one by one, faster than they are moved, would wake
// the relay for each. After budget little moves within pace a relay therefore rests
// for pace: then the pipe has hundreds of lines, and they are one move. In a
// conversation, where each side waits for the other's words, there is no more than one
// after the rest, and the relay does not rest again soon.
//
// While a relay is busy its pipes are grown to fullSize, for writer and reader not to
// wait for each other; idle after the last bytes they get their size back, as the
// sum of all pipes' sizes counts against the user (pipe-user-pages-soft, pipe(7)):
// what is root in a container but has not CAP_SYS_RESOURCE would get pipes of
// two pages.
//
// BenchmarkRelay compares it with a loop that copies 4 KiB at a time. On Linux 6.18 and
// two busy CPUs pieces of 4 to 64 KiB pass at 2.6 to 5.9 times the rate, for a
// seventh of the CPU time a byte; lines of 100 bytes, whose writer can do little more, at
// 1.3 times, for a third.
package relay
