// nethttp PORT BODY KEY: Go's net/http, with tokend's check of a client key: its SHA-256, looked up.
package main

import (
	"crypto/sha256"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
)

func main() {
	body, err := os.ReadFile(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	length := strconv.Itoa(len(body))
	clients := map[[sha256.Size]byte]string{sha256.Sum256([]byte(os.Args[3])): "client"}

	http.HandleFunc("/v1/apps/", func(w http.ResponseWriter, r *http.Request) {
		key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		if _, known := clients[sha256.Sum256([]byte(key))]; !known {
			http.Error(w, "unauthorized", http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", length)
		w.Write(body)
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
