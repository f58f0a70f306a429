// SPDX-License-Identifier: Apache-2.0

package systemd

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
)

// AnnotationPrefix begins annotations that are properties of a scope, as in runc and crun.
const AnnotationPrefix = "org.systemd.property."

// fromAnnotations returns the properties that annotations ask for, sorted by name.
func fromAnnotations(annotations map[string]string) ([]property, error) {
	var all []property
	for key, text := range annotations {
		name, ok := strings.CutPrefix(key, AnnotationPrefix)
		if !ok {
			continue
		}
		p, err := parse(name, text)
		if err != nil {
			return nil, fmt.Errorf("annotations[%s] %q: %w: %w", key, text, err, errdefs.ErrInvalidArgument)
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b property) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// reserved lists the properties that only the runtime sets: where the scope is, that
// everything below it is ours, and which processes are in it, which could be any of the
// host's.
var reserved = map[string]bool{
	"Slice":               true,
	"Delegate":            true,
	"DelegateControllers": true,
	"DelegateSubgroup":    true,
	"PIDs":                true,
	"PIDFDs":              true,
}

// parse reads one property. What unit files call TimeoutStopSec is TimeoutStopUSec
// on the bus, in microseconds.
func parse(name, text string) (property, error) {
	letters := strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") == ""
	if len(name) < 3 || !letters {
		return property{}, errors.New("not a property's name")
	}
	if reserved[name] {
		return property{}, errors.New("it is for the runtime to decide")
	}
	value, err := variant(text)
	if err != nil {
		return property{}, err
	}
	base, ok := strings.CutSuffix(name, "Sec")
	if !ok || base == "" || base[len(base)-1] < 'a' { // ...USec is as it is
		return property{name, value}, nil
	}
	us, err := microseconds(value.Value())
	return prop(base+"USec", us), err
}

// microseconds converts a number of seconds, which is of any of D-Bus's types for
// numbers.
func microseconds(v any) (uint64, error) {
	const scale = 1_000_000
	switch f := v.(type) {
	case string:
		return 0, errors.New("not a number of seconds, but text")
	case float64:
		if !(f >= 0 && f < math.MaxUint64/scale) { // NaN is neither
			return 0, errors.New("not a number of seconds")
		}
		return uint64(f * scale), nil
	}
	n, err := strconv.ParseUint(fmt.Sprint(v), 10, 64)
	if err != nil || n > math.MaxUint64/scale {
		return 0, errors.New("not a number of seconds")
	}
	return n * scale, nil
}

// Limits are the properties for Manager.Tell.
type Limits []property

// infinity is systemd's "max".
const infinity = uint64(math.MaxUint64)

// Files lists the cgroup files for which systemd has properties.
func Files() []string {
	return []string{
		"memory.min", "memory.low", "memory.high", "memory.max", "memory.swap.max",
		"memory.zswap.max", "memory.zswap.writeback",
		"pids.max", "cpu.weight", "cpu.max", "cpu.idle", "cpuset.cpus", "cpuset.mems", "io.weight", "io.bfq.weight",
	}
}

// Written lists the files that systemd writes although nobody told it a value: it does so
// when it writes any other file of memory.*. Before systemd 253, or 256, there is no way to
// tell it.
func Written() []string {
	return []string{"memory.oom.group", "memory.zswap.max", "memory.zswap.writeback"}
}

// recent reports whether an older systemd, on a kernel that mini supports, may not know
// the property or its value: MemoryZSwapMax is of systemd 253, MemoryZSwapWriteback of 256,
// the weight of an idle group of 252.
func recent(p property) bool {
	return strings.HasPrefix(p.Name, "MemoryZSwap") || p.Name == "CPUWeight" && p.Value.Value() == uint64(0)
}

// plain maps files to the properties that hold just the number in the file.
var plain = map[string]string{
	"memory.min":       "MemoryMin",
	"memory.low":       "MemoryLow",
	"memory.high":      "MemoryHigh",
	"memory.max":       "MemoryMax",
	"memory.swap.max":  "MemorySwapMax",
	"memory.zswap.max": "MemoryZSwapMax",
	"cpu.weight":       "CPUWeight",
	"io.weight":        "IOWeight",
}

// Add adds the content of one of Files.
func (l *Limits) Add(file, text string) error {
	text = strings.TrimSpace(strings.TrimPrefix(text, "default "))
	var err error
	switch file {
	case "cpu.idle":
		if text == "1" { // since systemd 252
			l.replace("CPUWeight", 0)
		}
	case "cpu.max":
		err = l.addQuota(text)
	case "cpuset.cpus", "cpuset.mems":
		name := map[string]string{"cpuset.cpus": "AllowedCPUs", "cpuset.mems": "AllowedMemoryNodes"}[file]
		var mask []byte // empty: all
		mask, err = bits(text)
		*l = append(*l, prop(name, mask))
	case "memory.zswap.writeback":
		*l = append(*l, prop("MemoryZSwapWriteback", text == "1"))
	case "pids.max":
		var n uint64
		n, err = number(text)
		*l = append(*l, prop("TasksMax", max(n, 1))) // 0 is not allowed; with 1 no fork succeeds either
	case "io.bfq.weight":
		// systemd writes this file too. It maps its own 1 to 10000 to 1 to 1000, and 100
		// to 100 (BFQ_WEIGHT).
		var n uint64
		if n, err = number(firstLine(text)); n > 100 {
			n = 100 + (n-100)*11
		}
		if err == nil {
			l.replace("IOWeight", n)
		}
	default:
		var n uint64
		if n, err = number(firstLine(text)); err == nil {
			*l = append(*l, prop(plain[file], n))
		}
	}
	if err != nil {
		return fmt.Errorf("%s holds %q: %w", file, text, err)
	}
	return nil
}

// replace sets a property in place of any other of that name.
func (l *Limits) replace(name string, value uint64) {
	*l = slices.DeleteFunc(*l, func(p property) bool { return p.Name == name })
	*l = append(*l, prop(name, value))
}

// firstLine returns the default weight, without those of single devices after it.
func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// addQuota adds cpu.max: quota and period in microseconds. systemd keeps whole percents of
// a CPU, so the quota is rounded up to one.
func (l *Limits) addQuota(text string) error {
	first, second, _ := strings.Cut(text, " ")
	quota, err := number(first)
	if err != nil {
		return err
	}
	period, err := number(second)
	if err != nil {
		return err
	}
	if period == 0 {
		return errors.New("no period")
	}
	if quota != infinity {
		const percent = 10_000 // of a second, in microseconds
		quota = quota * 1_000_000 / period
		quota = (quota + percent - 1) / percent * percent
	}
	*l = append(*l, prop("CPUQuotaPerSecUSec", quota), prop("CPUQuotaPeriodUSec", period))
	return nil
}

func number(text string) (uint64, error) {
	if text == "max" {
		return infinity, nil
	}
	return strconv.ParseUint(text, 10, 64)
}

// bits returns the mask for a list such as 0-2,7, lowest byte first.
func bits(list string) ([]byte, error) {
	mask := []byte{}
	if list == "" {
		return mask, nil
	}
	for part := range strings.SplitSeq(list, ",") {
		from, to, ok := strings.Cut(part, "-")
		if !ok {
			to = from
		}
		first, err := strconv.ParseUint(from, 10, 16)
		if err != nil {
			return nil, err
		}
		last, err := strconv.ParseUint(to, 10, 16)
		if err != nil {
			return nil, err
		}
		if last < first {
			return nil, fmt.Errorf("%s is no range", part)
		}
		for n := first; n <= last; n++ {
			for uint64(len(mask)) <= n/8 {
				mask = append(mask, 0)
			}
			mask[n/8] |= 1 << (n % 8)
		}
	}
	return mask, nil
}
