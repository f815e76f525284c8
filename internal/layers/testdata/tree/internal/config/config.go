// Package config may look at document, sideways.
package config

import (
	_ "flag"
	_ "log/slog"
	"os"

	_ "straum.dev/straum/internal/document"
)

var home = os.Getenv("HOME")
