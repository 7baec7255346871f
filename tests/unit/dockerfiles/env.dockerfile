FROM busybox
ENV A=1 B="two words" C=a\ b D='single $A' E=
ENV LEGACY some value  with  spaces
LABEL "com.example.vendor"="ACME" version=1 \
      multi="a\
b"
ARG ONE TWO=2 THREE="3 4"
