package call

// An incoming makes frames of the bytes that have been read from a pipe.
type incoming struct {
	buffer     []byte
	begin, end int // what of the buffer has not been taken yet

	begun bool // the header of the next frame has been taken
	next  header
	value []byte // of the next frame, as far as it has arrived
}

const (
	bufferSize = 16 << 10 // bytes

	// atOnce is how many bytes a value may take before any of them has arrived.
	atOnce = 128 << 20
)

// room returns memory for the bytes that are read next.
func (in *incoming) room() []byte {
	if in.begun && in.begin == in.end { // a large value needs no copy
		if len(in.value) == cap(in.value) {
			more := min(in.next.size-uint64(len(in.value)), max(uint64(len(in.value)), atOnce))
			in.value = append(make([]byte, 0, len(in.value)+int(more)), in.value...)
		}
		return in.value[len(in.value):cap(in.value)]
	}
	if in.buffer == nil {
		in.buffer = make([]byte, bufferSize)
	}
	if in.begin > 0 {
		in.end = copy(in.buffer, in.buffer[in.begin:in.end])
		in.begin = 0
	}
	return in.buffer[in.end:]
}

// fill takes n bytes that have been read into the memory of room.
func (in *incoming) fill(n int) {
	if in.begun && in.begin == in.end {
		in.value = in.value[:len(in.value)+n]
	} else {
		in.end += n
	}
}

// frame returns the next frame, if it is complete.
func (in *incoming) frame() (f frame, ok bool) {
	if !in.begun {
		if in.end-in.begin < headerSize {
			return f, false
		}
		in.next = parseHeader(in.buffer[in.begin:])
		in.begin += headerSize
		in.begun = true
		in.value = make([]byte, 0, min(in.next.size, max(uint64(in.end-in.begin), atOnce)))
	}
	n := min(in.next.size-uint64(len(in.value)), uint64(in.end-in.begin))
	in.value = append(in.value, in.buffer[in.begin:in.begin+int(n)]...)
	in.begin += int(n)
	if uint64(len(in.value)) < in.next.size {
		return f, false
	}
	f = frame{header: in.next, value: in.value}
	in.begun, in.value = false, nil
	return f, true
}
