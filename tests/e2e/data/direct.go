// A static Go program: says how a request to each URL ended. It resolves names itself, by UDP, so it
// lives by the proxy variables where there is no UDP.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	client := http.Client{Timeout: 20 * time.Second}
	for _, url := range os.Args[1:] {
		answer, err := client.Get(url)
		if err != nil {
			fmt.Println("failed:", err)
			continue
		}
		text, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		fmt.Println(answer.StatusCode, strings.TrimSpace(string(text)))
	}
}
