package setting

import (
	"io/fs"
	"path"
	"strings"
)

// confs are the files of a directory of the box whose names end in .conf, sorted.
func (s *Sight) confs(dir string) (files []string) {
	entries, err := fs.ReadDir(s.Machine.FS(), strings.TrimPrefix(dir, "/"))
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".conf") {
			files = append(files, path.Join(dir, e.Name()))
		}
	}
	return files
}
