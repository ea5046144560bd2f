// needs: github.com/sashabaranov/go-openai@v1.43.0
// sends: user seed top_p

// The usual client for Go: its messages come back as it read them, streamed ones put together from their deltas.
package main

import (
	"context"
	"errors"
	"io"
	"log"
	"os"
	"strings"

	openai "github.com/sashabaranov/go-openai"
)

func main() {
	config := openai.DefaultConfig(os.Getenv("OPENAI_API_KEY"))
	config.BaseURL = os.Getenv("OPENAI_BASE_URL")
	client := openai.NewClientWithConfig(config)
	for _, ask := range []func(*openai.Client, openai.ChatCompletionRequest) (openai.ChatCompletionMessage, error){whole, streamed} {
		messages := []openai.ChatCompletionMessage{{Role: "system", Content: "Be brief."}}
		for _, question := range []string{"What is a hold invoice?", "Who can cancel it?", "Thank you."} {
			messages = append(messages, openai.ChatCompletionMessage{Role: "user", Content: question, Name: "ada"})
			seed := 7
			message, err := ask(client, openai.ChatCompletionRequest{
				Model: os.Getenv("TIMMY_MODEL"), Messages: messages, User: "ada", Seed: &seed, TopP: 0.9,
			})
			if err != nil || !strings.Contains(message.Content, question) {
				log.Fatalf("%v: %+v", err, message)
			}
			messages = append(messages, message)
		}
	}
}

func whole(client *openai.Client, request openai.ChatCompletionRequest) (openai.ChatCompletionMessage, error) {
	answer, err := client.CreateChatCompletion(context.Background(), request)
	if err != nil {
		return openai.ChatCompletionMessage{}, err
	}
	return answer.Choices[0].Message, nil
}

func streamed(client *openai.Client, request openai.ChatCompletionRequest) (openai.ChatCompletionMessage, error) {
	message := openai.ChatCompletionMessage{Role: "assistant"}
	stream, err := client.CreateChatCompletionStream(context.Background(), request)
	if err != nil {
		return message, err
	}
	defer stream.Close()
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return message, nil
		}
		if err != nil {
			return message, err
		}
		for _, choice := range chunk.Choices {
			message.Content += choice.Delta.Content
		}
	}
}
