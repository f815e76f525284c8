// Command straum joins everything.
package main

import (
	_ "text/template"

	_ "straum.dev/straum/bench"
	_ "straum.dev/straum/internal/config"
	_ "straum.dev/straum/internal/edge"
	_ "straum.dev/straum/internal/load"
)
