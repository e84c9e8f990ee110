package value

import "reflect"

// Hash returns a number that differs where types are encoded differently: so two programs that are not the same notice before they
// misunderstand each other. Types that can never travel count as nothing.
func Hash(types ...reflect.Type) uint64 {
	h := hasher{14695981039346656037, map[reflect.Type]bool{}}
	for _, t := range types {
		if c, err := codecOf(t); err == nil {
			h.add(c)
		}
	}
	return h.sum
}

// A hasher is an FNV-1a hash.
type hasher struct {
	sum  uint64
	seen map[reflect.Type]bool
}

func (h *hasher) byte(b byte) { h.sum = (h.sum ^ uint64(b)) * 1099511628211 }

func (h *hasher) text(s string) {
	for i := range len(s) {
		h.byte(s[i])
	}
	h.byte(0)
}

func (h *hasher) add(c *codec) {
	h.text(c.t.String())
	h.byte(byte(c.kind))
	if h.seen[c.t] {
		return
	}
	h.seen[c.t] = true
	h.byte(byte(c.t.Kind()))
	for n := c.least; n > 0; n >>= 8 {
		h.byte(byte(n))
	}
	for _, f := range c.fields {
		h.text(c.t.Field(f.index).Name)
	}
	for _, part := range c.parts() {
		h.add(part)
	}
}
