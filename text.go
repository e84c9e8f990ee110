package reexec

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A causeList is several errors, or one of several lines, in one line.
type causeList []error

func (l causeList) Error() string {
	texts := make([]string, len(l))
	for i, err := range l {
		texts[i] = err.Error()
	}
	return oneLine(strings.Join(texts, "; "))
}

func (l causeList) Unwrap() []error { return l }

// oneLine makes one line of a text, without anything that a terminal would obey to: a text
// may be a child's.
func oneLine(text string) string {
	if strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }) < 0 {
		return text
	}
	var line strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == '\n':
			line.WriteByte(' ')
		case unicode.IsPrint(r) && (r != utf8.RuneError || size > 1):
			line.WriteRune(r)
		default:
			quoted := strconv.Quote(text[:size])
			line.WriteString(quoted[1 : len(quoted)-1])
		}
		text = text[size:]
	}
	return line.String()
}
