# Read by CMake when it configures llama.cpp for llama-cpp-python (see the Makefile). That project switches llama.cpp's
# library of command-line helpers on, compiles it for two thirds of the build, and never loads it.
set(LLAMA_BUILD_COMMON OFF)
