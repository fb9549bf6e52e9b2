//! What nginx and `HAProxy` are told.

use std::net::SocketAddr;
use std::path::Path;

use super::subject::Service;

/// nginx with one process: what the other servers answer, as far as it can be said in its language.
pub(super) fn nginx(
    service: Service,
    own: &Path,
    folder: &Path,
    address: SocketAddr,
    origin: Option<SocketAddr>,
) -> String {
    let (own, folder) = (own.display(), folder.display());
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|module| format!("    {module}_temp_path {own}/{module};\n"))
        .concat();
    let (upstream, locations) = match origin.filter(|_| service == Service::Proxy) {
        Some(origin) => (
            format!(
                "    upstream origin {{ server {origin}; keepalive 256; keepalive_requests 1000000000; }}\n"
            ),
            proxied().to_owned(),
        ),
        None => (String::new(), site(&folder.to_string())),
    };
    let (encrypted, papers) = match service {
        Service::Tls => (
            " ssl",
            format!(
                "        ssl_certificate {folder}/server.crt;\n\
                 \x20       ssl_certificate_key {folder}/server.key;\n\
                 \x20       ssl_protocols TLSv1.3;\n"
            ),
        ),
        _ => ("", String::new()),
    };
    format!(
        "daemon off;\n\
         master_process off;\n\
         worker_processes 1;\n\
         pid {own}/nginx.pid;\n\
         error_log stderr crit;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n{temporary}{upstream}\
         \x20   access_log off;\n\
         \x20   default_type text/plain;\n\
         \x20   keepalive_requests 1000000000;\n\
         \x20   sendfile on;\n\
         \x20   tcp_nopush on;\n\
         \x20   open_file_cache max=1000 inactive=60s;\n\
         \x20   open_file_cache_valid 60s;\n\
         \x20   server {{\n\
         \x20       listen {address}{encrypted} backlog=4096;\n\
         {papers}{locations}\
         \x20   }}\n\
         }}\n"
    )
}

fn proxied() -> &'static str {
    "        location / {\n\
     \x20           proxy_pass http://origin;\n\
     \x20           proxy_http_version 1.1;\n\
     \x20           proxy_set_header Connection \"\";\n\
     \x20           proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
     \x20       }\n"
}

fn site(folder: &str) -> String {
    let kibibyte = "x".repeat(1024);
    format!(
        "        location = / {{ return 200 \"Hello, World!\"; }}\n\
         \x20       location = /bytes/1024 {{ return 200 \"{kibibyte}\"; }}\n\
         \x20       location /static/ {{ alias {folder}/; }}\n\
         \x20       location ~ ^/users/(?<user>[^/]+)/posts/(?<post>[^/]+)$ {{\n\
         \x20           add_header Cache-Control \"private, max-age=60\";\n\
         \x20           add_header Vary \"Accept-Language, Cookie\";\n\
         \x20           add_header X-Content-Type-Options nosniff;\n\
         \x20           add_header X-Frame-Options DENY;\n\
         \x20           add_header Referrer-Policy same-origin;\n\
         \x20           add_header Set-Cookie \"seen=1; Path=/; HttpOnly; SameSite=Lax\";\n\
         \x20           add_header Content-Language $http_accept_language;\n\
         \x20           add_header X-Request-Id $http_x_request_id;\n\
         \x20           return 200 \"user $user, post $post, page $arg_page, in $http_accept_language\\n\";\n\
         \x20       }}\n"
    )
}

/// `HAProxy` with one thread, which keeps its connections to the origin.
pub(super) fn haproxy(address: SocketAddr, origin: SocketAddr) -> String {
    format!(
        "global\n\
         \x20   nbthread 1\n\
         \x20   maxconn 4096\n\
         defaults\n\
         \x20   mode http\n\
         \x20   timeout connect 5s\n\
         \x20   timeout client 60s\n\
         \x20   timeout server 60s\n\
         \x20   http-reuse always\n\
         \x20   option forwardfor\n\
         frontend front\n\
         \x20   bind {address}\n\
         \x20   default_backend back\n\
         backend back\n\
         \x20   server origin {origin} pool-max-conn 256\n"
    )
}
