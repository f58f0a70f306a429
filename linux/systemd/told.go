// SPDX-License-Identifier: Apache-2.0

package systemd

import "fmt"

// Told holds the limits of a scope that systemd knows, by property. They are not told
// again: each would be another file of the unit, and show as set although nobody asked.
type Told map[string]string

// News returns the limits that systemd does not know.
func (t Told) News(limits Limits) Limits {
	var news Limits
	for _, p := range limits {
		if known, ok := t[p.Name]; !ok || known != text(p) {
			news = append(news, p)
		}
	}
	return news
}

// Note records that systemd knows the limits.
func (t Told) Note(limits Limits) {
	for _, p := range limits {
		t[p.Name] = text(p)
	}
}

func text(p property) string { return fmt.Sprint(p.Value.Value()) }
