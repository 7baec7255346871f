from busybox as one
run true
Copy a b
onBuild Run x
