package document

import (
	"io"
	"os"
)

// ReadFile reads one byte more of a file than it may have at most, so that one that is too large is refused without being read whole.
func ReadFile(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most+1))
}
