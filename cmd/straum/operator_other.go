//go:build !linux

package main

func behindSudo() string { return "" } // other systems do not tell
