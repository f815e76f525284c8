// Package exchange is the traveller. Every step.
package exchange

import (
	"log"

	_ "straum.dev/straum/internal/clock"
)

var quiet *log.Logger

func tell() { log.Println("told") }
