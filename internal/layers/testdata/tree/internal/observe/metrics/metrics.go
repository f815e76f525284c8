// Package metrics is step 11.
package metrics

import "reflect"

func find(v reflect.Value) reflect.Value { return v.MethodByName("Find") }
