import type { ShapeRow } from "./chat-shapes.ts";

// deno-fmt-ignore
/**
 * What Anthropic and the proxies in front of it are known to send, in the notation of chat-shapes.ts. The short frames:
 * `s:INPUT` begins a message, `t:TEXT` is a delta of text, `f:REASON/OUTPUT` the stop reason with the count of the
 * output, `DONE` the end of the message.
 */
export const MESSAGE_SHAPES: readonly ShapeRow[] = [
  ["Anthropic", "a whole stream", "stop|Hello|3/2", "s:3", '{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}', '{"type":"ping"}', "t:Hel", "t:lo", '{"type":"content_block_stop","index":0}', "f:end_turn/2", "DONE"],
  ["Anthropic", "the output limit", "length|Hello|3/2", "s:3", "t:Hello", "f:max_tokens/2", "DONE"],
  ["Anthropic", "a full context", "length|Hello|3/2", "s:3", "t:Hello", "f:model_context_window_exceeded/2", "DONE"],
  ["Anthropic", "a stop sequence", "stop|Hello|3/2", "s:3", "t:Hello", "f:stop_sequence/2", "DONE"],
  ["Anthropic", "a refusal", "refused|Hel|3/1", "s:3", "t:Hel", "f:refusal/1", "DONE"],
  ["Anthropic", "a stop reason nobody knows", "broken|Hel|3/1", "s:3", "t:Hel", "f:abort/1", "DONE"],
  ["Anthropic", "no stop reason", "broken|Hel|3/~", "s:3", "t:Hel", "DONE"],
  ["Anthropic", "no message_stop", "broken|Hello|3/2", "s:3", "t:Hello", "f:end_turn/2"],
  ["Anthropic", "a cut after a text", "broken|Hel|3/~", "s:3", "t:Hel"],
  ["Anthropic", "nothing at all", "broken||-", "!"],
  ["Anthropic", "overload in the stream", "overloaded|Hel|3/~", "s:3", "t:Hel", '{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'],
  ["Anthropic", "a failure in the stream", "broken|Hel|3/~", "s:3", "t:Hel", '{"type":"error","error":{"type":"api_error","message":"Internal server error"}}'],
  ["Anthropic", "an error of a shape nobody knows", "broken|Hel|3/~", "s:3", "t:Hel", '!event: error\ndata: {"message":"x"}\n\n'],
  ["Anthropic", "an error in plain words", "broken|Hel|3/~", "s:3", "t:Hel", "!event: error\ndata: x\n\n"],
  ["Anthropic", "an invalid request in the stream", "invalid||3/1", "s:3", '{"type":"error","error":{"type":"invalid_request_error","message":"x"}}'],
  ["Anthropic", "its filter in the stream", "refused|Hel|3/~", "s:3", "t:Hel", '{"type":"error","error":{"type":"invalid_request_error","message":"Output blocked by content filtering policy"}}'],
  ["Anthropic", "frames behind the end", "stop|Hello|3/2", "s:3", "t:Hello", "f:end_turn/2", "DONE", "t: and more", '{"type":"error","error":{"type":"api_error","message":"x"}}'],
  ["Anthropic", "thinking", "stop|Hello|3/~Hm, hm.Hello", "s:3", '{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm, hm."}}', '{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"x"}}', "t:Hello", "f:end_turn/-", "DONE"],
  ["Anthropic", "thinking, then a cut", "broken||3/~Hm, hm.", "s:3", '{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm, hm."}}'],
  ["Anthropic", "events nobody knows", "stop|Hello|3/2", "s:3", '{"type":"news"}', '{"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":{}}}', "t:Hello", "f:end_turn/2", "DONE"],
  ["Anthropic", "no JSON", "broken|Hel|3/~", "s:3", "t:Hel", "!event: content_block_delta\ndata: garbage\n\n", "f:end_turn/2", "DONE"],
  ["Anthropic", "text that is no text", "broken|Hel|3/~", "s:3", "t:Hel", '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":{"a":1}}}', "f:end_turn/2", "DONE"],
  ["Anthropic", "a null event", "broken|Hel|3/~", "s:3", "t:Hel", "!event: content_block_delta\ndata: null\n\n", "f:end_turn/2", "DONE"],
  ["proxy", "usage nobody can believe", "stop|Hello|~/~", '{"type":"message_start","message":{"usage":{"input_tokens":-3,"output_tokens":"x"}}}', "t:Hello", '{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":-1}}', "DONE"],
  ["proxy", "the input only at the end", "stop|Hello|3/2", '{"type":"message_start","message":{}}', "t:Hello", '{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":3,"output_tokens":2}}', "DONE"],
  ["proxy", "a page with 200", "broken||-", "!<html></html>"],
  ["Anthropic", "a long prompt", "too_long||-", '@400 {"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 209000 tokens > 200000 maximum"}}'],
  ["Anthropic", "input and limit too long together", "too_long||-", '@400 {"type":"error","error":{"type":"invalid_request_error","message":"input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"}}'],
  ["Anthropic", "a large body", "too_long||-", '@413 {"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}'],
  ["Anthropic", "its filter", "refused||-", '@400 {"type":"error","error":{"type":"invalid_request_error","message":"Output blocked by content filtering policy"}}'],
  ["Anthropic", "an empty account", "own_key||-", '@400 {"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}}'],
  ["Anthropic", "any other 400", "invalid||-", '@400 {"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: 99999 > 8192"}}'],
  ["Anthropic", "a wrong key", "own_key||-", '@401 {"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}'],
  ["Anthropic", "a key that may not", "own_key||-", '@403 {"type":"error","error":{"type":"permission_error","message":"x"}}'],
  ["Anthropic", "no such model", "not_found||-", '@404 {"type":"error","error":{"type":"not_found_error","message":"model: x"}}'],
  ["Anthropic", "a limit", "overloaded+7000||-", '@429 retry-after=7 {"type":"error","error":{"type":"rate_limit_error","message":"x"}}'],
  ["Anthropic", "a failure", "broken||-", '@500 {"type":"error","error":{"type":"api_error","message":"x"}}'],
  ["Anthropic", "a time-out", "timeout||-", '@504 {"type":"error","error":{"type":"timeout_error","message":"x"}}'],
  ["Anthropic", "overload", "overloaded||-", '@529 {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'],
];
