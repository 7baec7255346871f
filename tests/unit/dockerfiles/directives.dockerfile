# syntax=docker/dockerfile:1.7
# escape=`
# check=skip=all
FROM busybox AS windows
RUN dir `
    c:\users
COPY ["a\\b", "c:\\"]
