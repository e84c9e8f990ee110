// Package pipe is what Linux knows of pipes beyond package os (pipe(7)). It is for whoever
// holds one.
package pipe

// Max is the largest capacity, in bytes, of a pipe of an ordinary process, and so the most that a
// process can leave behind in one at its end.
const Max = 1 << 20
