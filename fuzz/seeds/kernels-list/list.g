MemcpyHtoD,0x00007e0000000000,1048576
kernel-1.traceg
MemcpyDtoH,0x00007e0000000000,64
kernel-1.traceg.xz
kernel-1.traceg
