// SPDX-License-Identifier: Apache-2.0

package main

import "go/types"

// keepTypes counts a type as used if something used has it in its signature or in an
// exported field: its users meet the type without ever writing its name.
func (c *census) keepTypes() {
	var visit func(key string)
	visit = func(key string) {
		met := &meeting{dynamic: c.dynamic, seen: map[types.Type]bool{}}
		met.object(c.declared[key].object)
		for _, name := range met.names {
			other := c.key(name)
			if _, ok := c.declared[other]; ok && !c.users[other].code {
				c.users[other] = use{code: true}
				visit(other)
			}
		}
	}
	for key := range c.declared {
		if c.users[key].code {
			visit(key)
		}
	}
}

// meeting collects the named types that the user of an object meets.
type meeting struct {
	dynamic map[string]bool // as in census
	seen    map[types.Type]bool
	names   []types.Object
}

func (m *meeting) object(object types.Object) {
	named, ok := object.Type().(*types.Named)
	if _, isType := object.(*types.TypeName); !isType || !ok {
		m.add(object.Type())
		return
	}
	m.add(named.Underlying())
	for method := range named.Methods() {
		if method.Exported() && m.dynamic[method.Name()] { // the others are names of their own
			m.add(method.Type())
		}
	}
}

func (m *meeting) add(t types.Type) {
	if m.seen[t] {
		return
	}
	m.seen[t] = true
	switch t := t.(type) {
	case *types.Named:
		m.names = append(m.names, t.Obj())
		for argument := range t.TypeArgs().Types() {
			m.add(argument)
		}
	case *types.Struct:
		for field := range t.Fields() {
			if field.Exported() {
				m.add(field.Type())
			}
		}
	case *types.Signature:
		for v := range t.Params().Variables() {
			m.add(v.Type())
		}
		for v := range t.Results().Variables() {
			m.add(v.Type())
		}
	case *types.Interface:
		for method := range t.Methods() {
			m.add(method.Type())
		}
	case *types.Map:
		m.add(t.Key())
		m.add(t.Elem())
	case interface{ Elem() types.Type }: // pointers, slices, arrays, channels
		m.add(t.Elem())
	}
}
