// SPDX-License-Identifier: Apache-2.0

package systemd

import "fmt"

// Told is what systemd knows of a scope's limits, by property. Limits that it
// knows are not told again: each would be another file of the unit's, and show as
// set where nobody has asked for it.
type Told map[string]string

// News are those of the limits that systemd does not know.
func (t Told) News(limits Limits) Limits {
	var news Limits
	for _, p := range limits {
		if known, ok := t[p.Name]; !ok || known != text(p) {
			news = append(news, p)
		}
	}
	return news
}

// Note remembers that systemd knows the limits.
func (t Told) Note(limits Limits) {
	for _, p := range limits {
		t[p.Name] = text(p)
	}
}

func text(p property) string { return fmt.Sprint(p.Value.Value()) }
