// SPDX-License-Identifier: Apache-2.0

package linux

import "strings"

// checkVersion wants a semantic version 1 (semver.org 2.0.0): three numbers, then
// perhaps "-" and a pre-release, then perhaps "+" and a build. Newer versions than
// the one that mini knows are taken: the specification adds to itself only.
func checkVersion(v string) error {
	rest, build, built := strings.Cut(v, "+")
	core, pre, isPre := strings.Cut(rest, "-")
	numbers := strings.Split(core, ".")
	ok := len(numbers) == 3
	for _, n := range numbers {
		ok = ok && isNumber(n)
	}
	ok = ok && (!isPre || areIdentifiers(pre, true)) && (!built || areIdentifiers(build, false))
	switch {
	case !ok:
		return invalid("ociVersion", "%q is not a semantic version", v)
	case numbers[0] != "1":
		return invalid("ociVersion", "%q is not a version 1 of the runtime spec", v)
	}
	return nil
}

// isNumber: decimal digits without a zero in front.
func isNumber(s string) bool {
	return strings.Trim(s, "0123456789") == "" && s != "" && (s == "0" || s[0] != '0')
}

// areIdentifiers: letters, digits and hyphens, between dots. In a pre-release an
// identifier of digits alone has no zero in front.
func areIdentifiers(s string, pre bool) bool {
	const digits = "0123456789"
	const alphabet = digits + "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-"
	for id := range strings.SplitSeq(s, ".") {
		if id == "" || strings.Trim(id, alphabet) != "" || pre && strings.Trim(id, digits) == "" && !isNumber(id) {
			return false
		}
	}
	return true
}
