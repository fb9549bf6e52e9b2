/* An echo on libuv: `echo PORT`. One read buffer for all, as only one read is under way at a time; what
 * is written at once needs no copy, and the rest is copied. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define READ_MAX (64 * 1024)

static char input[READ_MAX];

typedef struct {
  uv_write_t request;
  char bytes[];
} rest_t;

static void lend(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer) {
  (void)handle;
  (void)suggested;
  *buffer = uv_buf_init(input, READ_MAX);
}

static void closed(uv_handle_t *handle) { free(handle); }

static void end(uv_stream_t *stream) {
  if (!uv_is_closing((uv_handle_t *)stream)) uv_close((uv_handle_t *)stream, closed);
}

static void heard(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer);

static void written(uv_write_t *request, int status) {
  uv_stream_t *stream = request->handle;
  free(request);
  if (status < 0)
    end(stream);
  else
    uv_read_start(stream, lend, heard);
}

static void heard(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer) {
  if (count < 0) {
    end(stream);
    return;
  }
  if (count == 0) return;
  uv_buf_t out = uv_buf_init(buffer->base, (unsigned)count);
  int sent = uv_try_write(stream, &out, 1);
  if (sent == UV_EAGAIN) sent = 0;
  if (sent < 0) {
    end(stream);
    return;
  }
  size_t left = (size_t)(count - sent);
  if (left == 0) return;
  rest_t *rest = malloc(sizeof *rest + left);
  if (rest == NULL) {
    end(stream);
    return;
  }
  memcpy(rest->bytes, buffer->base + sent, left);
  out = uv_buf_init(rest->bytes, (unsigned)left);
  uv_read_stop(stream);
  if (uv_write(&rest->request, stream, &out, 1, written) != 0) {
    free(rest);
    end(stream);
  }
}

static void came(uv_stream_t *listener, int status) {
  if (status < 0) return;
  uv_tcp_t *stream = malloc(sizeof *stream);
  if (stream == NULL) return;
  uv_tcp_init(listener->loop, stream);
  if (uv_accept(listener, (uv_stream_t *)stream) != 0) {
    end((uv_stream_t *)stream);
    return;
  }
  uv_tcp_nodelay(stream, 1);
  uv_read_start((uv_stream_t *)stream, lend, heard);
}

int main(int count, char **words) {
  if (count != 2) {
    fprintf(stderr, "usage: echo PORT\n");
    return 2;
  }
  uv_loop_t *loop = uv_default_loop();
  uv_tcp_t listener;
  struct sockaddr_in place;
  int size = sizeof place;
  uv_tcp_init(loop, &listener);
  uv_ip4_addr("127.0.0.1", atoi(words[1]), &place);
  if (uv_tcp_bind(&listener, (const struct sockaddr *)&place, 0) != 0) return 1;
  if (uv_listen((uv_stream_t *)&listener, 4096, came) != 0) return 1;
  if (uv_tcp_getsockname(&listener, (struct sockaddr *)&place, &size) != 0) return 1;
  printf("listening 127.0.0.1:%d\n", ntohs(place.sin_port));
  fflush(stdout);
  return uv_run(loop, UV_RUN_DEFAULT);
}
