//go:build race

package bufpool

import "testing"

func TestGivenBackTwice(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("nobody noticed")
		}
	}()
	b := Get(Small)
	Put(b)
	if b[0] != 0xdb {
		t.Errorf("%x is left in it", b[0])
	}
	Put(b)
}
