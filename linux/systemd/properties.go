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
	"github.com/godbus/dbus/v5"
)

// AnnotationPrefix begins the annotations that are properties of a scope, as in runc
// and crun.
const AnnotationPrefix = "org.systemd.property."

// annotated are the properties that annotations ask for, by name.
func annotated(annotations map[string]string) ([]property, error) {
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

// parse reads one property. What unit files call TimeoutStopSec is TimeoutStopUSec
// on the bus, in microseconds.
func parse(name, text string) (property, error) {
	letters := strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") == ""
	if len(name) < 3 || !letters {
		return property{}, errors.New("not a property's name")
	}
	value, err := dbus.ParseVariant(text, dbus.Signature{})
	if err != nil {
		return property{}, err
	}
	base, ok := strings.CutSuffix(name, "Sec")
	if !ok || base == "" || base[len(base)-1] < 'a' { // ...USec is as it is
		return property{name, value}, nil
	}
	seconds, err := strconv.ParseFloat(fmt.Sprint(value.Value()), 64)
	if err != nil || seconds < 0 || seconds > math.MaxUint64/1e6 {
		return property{}, errors.New("not a number of seconds")
	}
	return prop(base+"USec", uint64(seconds*1e6)), nil
}

// Limits are what Manager.Tell tells.
type Limits []property

// infinity is what systemd takes for "max".
const infinity = uint64(math.MaxUint64)

// Files are the cgroup files that systemd has properties for.
func Files() []string {
	return []string{
		"memory.min", "memory.low", "memory.high", "memory.max", "memory.swap.max",
		"pids.max", "cpu.weight", "cpu.max", "cpu.idle", "cpuset.cpus", "cpuset.mems", "io.weight", "io.bfq.weight",
	}
}

// plain are the properties that hold just the number in the file.
var plain = map[string]string{
	"memory.min": "MemoryMin", "memory.low": "MemoryLow", "memory.high": "MemoryHigh", "memory.max": "MemoryMax",
	"memory.swap.max": "MemorySwapMax", "pids.max": "TasksMax", "cpu.weight": "CPUWeight", "io.weight": "IOWeight",
}

// Add adds what one of Files holds.
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
		var mask []byte
		if mask, err = bits(text); len(mask) > 0 {
			*l = append(*l, prop(name, mask))
		}
	case "io.bfq.weight":
		// systemd writes this one as well, 1 to 1000 for its 1 to 10000, with 100 in
		// the same place (its BFQ_WEIGHT).
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

// replace puts a property in the place of one of its name.
func (l *Limits) replace(name string, value uint64) {
	*l = slices.DeleteFunc(*l, func(p property) bool { return p.Name == name })
	*l = append(*l, prop(name, value))
}

// firstLine leaves out weights of single devices, which come after the default.
func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// addQuota adds cpu.max: quota and period in microseconds. systemd keeps whole
// percents of a CPU, so it gets the next one.
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

// bits turns a list such as 0-2,7 into a mask, its lowest byte first.
func bits(list string) ([]byte, error) {
	if list == "" {
		return nil, nil
	}
	var mask []byte
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
		for n := first; n <= last; n++ {
			for uint64(len(mask)) <= n/8 {
				mask = append(mask, 0)
			}
			mask[n/8] |= 1 << (n % 8)
		}
	}
	return mask, nil
}
