// A static program: does what each argument says and prints how it ended: get:URL (net/http, with whatever proxy the
// environment names), dial:HOST:PORT (which reads a greeting and answers it with its own name). It resolves names
// itself, by UDP.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"
)

var client = http.Client{Timeout: 20 * time.Second}

func get(url string) (string, error) {
	answer, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return fmt.Sprint(answer.StatusCode, " ", strings.TrimSpace(string(text))), err
}

func dial(place string) (string, error) {
	connection, err := net.DialTimeout("tcp", place, 20*time.Second)
	if err != nil {
		return "", err
	}
	defer connection.Close()
	lines := bufio.NewReader(connection)
	greeting, err := lines.ReadString('\n')
	if err != nil {
		return "", err
	}
	fmt.Fprintln(connection, "go dial")
	answer, err := lines.ReadString('\n')
	return strings.TrimSpace(greeting) + "; " + strings.TrimSpace(answer), err
}

func wordFor(err error) string {
	var lookUp *net.DNSError
	switch {
	case errors.As(err, &lookUp) && lookUp.IsNotFound:
		return "no such name"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET):
		return "reset"
	}
	return err.Error()
}

func main() {
	for _, argument := range os.Args[1:] {
		verb, rest, _ := strings.Cut(argument, ":")
		start := time.Now()
		act := map[string]func(string) (string, error){"get": get, "dial": dial}[verb]
		ended, err := act(rest)
		if err != nil {
			ended = wordFor(err)
		}
		slow := ""
		if time.Since(start) > 5*time.Second {
			slow = "SLOW"
		}
		fmt.Println(argument, "->", ended, slow)
	}
}
