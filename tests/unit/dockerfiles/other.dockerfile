FROM scratch
MAINTAINER  A Name <a@example.org>  
EXPOSE 80 443/tcp 8000-8010/udp
USER  "a b":c 
WORKDIR /a  b
STOPSIGNAL SIGTERM
